"""What makes XLA's CPU compiler quick rather than thorough, for the runs that tests start as processes."""

XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
