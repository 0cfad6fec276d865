"""What makes XLA's CPU compiler quick rather than thorough: most of the tests' time is compilation, of programs that run once."""

XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
