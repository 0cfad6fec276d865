#!/usr/bin/env bash
# A Slurm cluster of several nodes on one machine, for tests: tests/support/slurm.sh up|down DIRECTORY [NODES]
#
#   apt-get install -y --no-install-recommends munge slurm-client slurmctld slurmd
#   tests/support/slurm.sh up /tmp/cluster 2 && export SLURM_CONF=/tmp/cluster/slurm.conf && srun --nodes=2 hostname
#
# As root. All it has lies in DIRECTORY, whose name must be short (it holds sockets); `down` ends its processes and no others.
set -euo pipefail
action=${1:-} dir=${2:-} nodes=${3:-2}
[[ $action =~ ^(up|down)$ && $dir == /* ]] || { echo "usage: $0 up|down /DIRECTORY [NODES]" >&2; exit 2; }
export SLURM_CONF=$dir/slurm.conf

down() {
    local file pid
    # While there is a controller: clients wait long for one that is gone.
    if grep -qsF "$dir" "/proc/$(cat "$dir/pids/slurmctld")/cmdline"; then
        scancel --me
        for _ in {1..100}; do
            [[ -z $(squeue --noheader) ]] && break
            sleep 0.1
        done
    fi
    for file in "$dir"/pids/*; do
        [[ -s $file ]] || continue
        pid=$(<"$file")
        # Every command line names the directory: a number that another process has by now is left alone.
        grep -qsF "$dir" "/proc/$pid/cmdline" || continue
        kill "$pid" 2>/dev/null || true
        for _ in {1..50}; do
            grep -qsF "$dir" "/proc/$pid/cmdline" || continue 2
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
    done
}

if [[ $action == down ]]; then
    down
    exit
fi

mkdir -p "$dir"/{pids,logs,state,munge}
chmod 755 "$dir" "$dir"/*  # munged refuses folders that others may write to
(umask 077 && head -c 128 /dev/urandom > "$dir/munge/key")
munged --key-file="$dir/munge/key" --socket="$dir/munge/socket" --seed-file="$dir/munge/seed" \
    --pid-file="$dir/pids/munged" --log-file="$dir/logs/munged.log"

# Ports that nobody has: from a base of this process's own.
port=$((20000 + $$ % 20000))
cat > "$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
# A requeued job waits until its credential has expired: 120 s by default.
AuthInfo=socket=$dir/munge/socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/pids/slurmctld
SlurmdPidFile=$dir/pids/slurmd-%n
SlurmctldLogFile=$dir/logs/slurmctld.log
SlurmdLogFile=$dir/logs/slurmd-%n.log
# Without systemd, control groups and accounting.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
# More cores than the machine has, and no waiting between rounds of scheduling.
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=20
CONF
for ((i = 1; i <= nodes; i++)); do
    # Names other than the machine's own, which several daemons cannot share.
    echo "NodeName=node$i NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=4 RealMemory=4000 State=UNKNOWN"
done >> "$SLURM_CONF"
echo "PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP" >> "$SLURM_CONF"
echo "CgroupAutomount=no" > "$dir/cgroup.conf"

slurmctld -f "$SLURM_CONF"
for ((i = 1; i <= nodes; i++)); do slurmd -f "$SLURM_CONF" -N "node$i"; done
for _ in {1..100}; do
    [[ $(sinfo --noheader --Node --states=idle 2>/dev/null | wc -l) == "$nodes" ]] && exit
    sleep 0.1
done
echo "the cluster is not up; its logs are in $dir/logs" >&2
exit 1
