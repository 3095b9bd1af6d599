#!/usr/bin/env bash
# Bring up a real SLURM cluster on loopback (Debian/Ubuntu packages, no systemd, root).
# Idempotent: a second call with a healthy cluster only reprints the environment.
#   SLURM_LAB=$(dirname "$(mktemp -u)")/slurm-lab  NODES=3 NODE_CPUS=8 NODE_MEM=40000 NODE_GPUS=2 DBD=1 CGROUP=auto  ./up.sh
set -euo pipefail
LAB=${SLURM_LAB:-$(dirname "$(mktemp -u)")/slurm-lab}
NODES=${NODES:-3}; NODE_CPUS=${NODE_CPUS:-8}; NODE_MEM=${NODE_MEM:-40000}; NODE_GPUS=${NODE_GPUS:-2}
DBD=${DBD:-1}              # 1 = slurmdbd + mariadb (sacct works), 0 = no accounting, jobcomp/filetxt only
CGROUP=${CGROUP:-auto}     # auto | 1 | 0
NODE=${NODE:-n}            # nodes are n1, n2, ...; clusters with cgroups that are up together need different names
BASE_PORT=${BASE_PORT:-16817}   # ctld=BASE, dbd=BASE+2, slurmd k=BASE+10+k ; mariadb=BASE+5
MAXARRAY=${MAXARRAY:-5001}
MIN_JOB_AGE=${MIN_JOB_AGE:-300}   # seconds that a job which has ended can still be asked for
ENFORCE=${ENFORCE:-}               # e.g. limits, so that sacctmgr's submit limits hold
EXTRA_CONF=${EXTRA_CONF:-}
T0=$(date +%s.%N)
say(){ printf '[slurm-up %6.2fs] %s\n' "$(echo "$(date +%s.%N) - $T0" | bc 2>/dev/null || awk -v a="$(date +%s.%N)" -v b="$T0" 'BEGIN{print a-b}')" "$*" >&2; }
[ "$(id -u)" = 0 ] || { echo "must run as root" >&2; exit 2; }

pkgs=(munge slurmctld slurmd slurm-client); [ "$DBD" = 1 ] && pkgs+=(slurmdbd mariadb-server)
miss=(); for p in "${pkgs[@]}"; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || miss+=("$p"); done
if [ ${#miss[@]} -gt 0 ]; then
  say "installing: ${miss[*]}"
  # keep package scripts from starting daemons of their own
  [ -e /usr/sbin/policy-rc.d ] || { trap 'rm -f /usr/sbin/policy-rc.d' EXIT; printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; }
  export DEBIAN_FRONTEND=noninteractive
  apt-get -o DPkg::Lock::Timeout=300 update -qq
  apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${miss[@]}" >"$(dirname "$(mktemp -u)")/slurm-up-apt.log" 2>&1 \
    || { tail -20 "$(dirname "$(mktemp -u)")/slurm-up-apt.log" >&2; exit 3; }
  [ -z "$(trap -p EXIT)" ] || rm -f /usr/sbin/policy-rc.d
  trap - EXIT
  say "packages installed"
fi

export SLURM_CONF=$LAB/etc/slurm.conf
alive(){ [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }
mkdir -p "$LAB"/{etc,log,run,munge,state,spool,work}; chmod 755 "$LAB" "$LAB"/*; 
HOST=$(hostname -s)

# ---- which cgroup set-up can we use? --------------------------------------
cgplug=none
if [ "$CGROUP" != 0 ]; then
  if [ -d /sys/fs/cgroup/memory ] && [ -w /sys/fs/cgroup/memory/cgroup.procs ] && [ -d /sys/fs/cgroup/freezer ]; then cgplug=cgroup/v1
  # v2 needs systemd+dbus for scopes (or IgnoreSystemd, Slurm >= 22.05)
  elif [ -f /sys/fs/cgroup/cgroup.controllers ] && [ -w /sys/fs/cgroup/cgroup.procs ]; then cgplug=cgroup/v2; fi
  [ "$CGROUP" = 1 ] && [ $cgplug = none ] && { echo "CGROUP=1 but no writable cgroup tree" >&2; exit 4; }
fi
if [ $cgplug = none ]; then PROCTRACK=proctrack/linuxproc TASK=task/none GATHER=jobacct_gather/linux JAGP="JobAcctGatherParams=OverMemoryKill"
else PROCTRACK=proctrack/cgroup TASK=task/cgroup GATHER=jobacct_gather/cgroup JAGP=""; fi

# ---- configuration ---------------------------------------------------------
[ -s "$LAB/munge/munge.key" ] || { (umask 077; head -c 1024 /dev/urandom >"$LAB/munge/munge.key"); }
chown -R munge:munge "$LAB/munge"; chmod 700 "$LAB/munge"; chmod 600 "$LAB/munge/munge.key"
mkdir -p "$LAB/run/munge"; chown munge:munge "$LAB/run/munge"; chmod 755 "$LAB/run/munge"
MSOCK=$LAB/run/munge/munge.socket
if [ "$DBD" = 1 ]; then ACCT="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((BASE_PORT+2))
AccountingStoragePass=$MSOCK
AccountingStorageTRES=gres/gpu"
  [ -z "$ENFORCE" ] || ACCT="$ACCT
AccountingStorageEnforce=$ENFORCE"
else ACCT="AccountingStorageType=accounting_storage/none"; fi
{ cat <<C
ClusterName=lab
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$BASE_PORT
SlurmctldAddr=127.0.0.1
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$MSOCK,cred_expire=${CRED_EXPIRE:-10}
CredType=cred/munge
StateSaveLocation=$LAB/state
SlurmdSpoolDir=$LAB/spool/%n
SlurmctldPidFile=$LAB/run/slurmctld.pid
SlurmdPidFile=$LAB/run/slurmd-%n.pid
SlurmctldLogFile=$LAB/log/slurmctld.log
SlurmdLogFile=$LAB/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
ProctrackType=$PROCTRACK
TaskPlugin=$TASK
JobAcctGatherType=$GATHER
JobAcctGatherFrequency=task=2
$JAGP
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=100000,batch_sched_delay=0,default_queue_depth=10000
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
KillWait=3
MinJobAge=$MIN_JOB_AGE
OverTimeLimit=0
JobRequeue=1
RequeueExit=75
MaxArraySize=$MAXARRAY
MaxJobCount=20000
DefMemPerCPU=64
MpiDefault=none
JobCompType=jobcomp/filetxt
JobCompLoc=$LAB/log/jobcomp.txt
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
$ACCT
$EXTRA_CONF
C
for i in $(seq 1 "$NODES"); do
  echo "NodeName=$NODE$i NodeHostname=$NODE$i NodeAddr=127.0.0.1 Port=$((BASE_PORT+10+i)) CPUs=$NODE_CPUS RealMemory=$NODE_MEM Gres=gpu:$NODE_GPUS State=UNKNOWN"
done
echo "PartitionName=main Nodes=$NODE[1-$NODES] Default=YES MaxTime=INFINITE DefaultTime=10 State=UP PriorityTier=10"
echo "PartitionName=scavenge Nodes=$NODE[1-$NODES] MaxTime=INFINITE DefaultTime=10 State=UP PriorityTier=1 PreemptMode=REQUEUE"
echo "PartitionName=urgent Nodes=$NODE[1-$NODES] MaxTime=INFINITE DefaultTime=10 State=UP PriorityTier=100 PreemptMode=OFF"
} >"$LAB/etc/slurm.conf"
: >"$LAB/etc/gres.conf"; mkdir -p "$LAB/dev"
if [ "$NODE_GPUS" -gt 0 ]; then
  for g in $(seq 0 $((NODE_GPUS-1))); do [ -e "$LAB/dev/nvidia$g" ] || ln -s /dev/null "$LAB/dev/nvidia$g"; done
  echo "NodeName=$NODE[1-$NODES] Name=gpu File=$LAB/dev/nvidia[0-$((NODE_GPUS-1))]" >"$LAB/etc/gres.conf"
fi
if [ $cgplug != none ]; then cat >"$LAB/etc/cgroup.conf" <<C
CgroupPlugin=$cgplug
ConstrainCores=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
ConstrainDevices=no
AllowedRAMSpace=100
C
[ $cgplug = cgroup/v2 ] && echo "IgnoreSystemd=yes" >>"$LAB/etc/cgroup.conf"
else rm -f "$LAB/etc/cgroup.conf"; fi

# ---- daemons ----------------------------------------------------------------
# Debian ships slurmd/slurmctld >= 22.05 as configless-capable: -f/SLURM_CONF wins.
if ! alive "$LAB/run/munge/munged.pid"; then
  setpriv --reuid munge --regid munge --clear-groups /usr/sbin/munged \
    --key-file="$LAB/munge/munge.key" --socket="$MSOCK" --pid-file="$LAB/run/munge/munged.pid" \
    --log-file="$LAB/munge/munged.log" --seed-file="$LAB/munge/munged.seed" --num-threads=4
  say "munged up"
fi
if [ "$DBD" = 1 ]; then
  DBP=$((BASE_PORT+5)); mkdir -p "$LAB/mysql" "$LAB/run/mysql"; chown mysql:mysql "$LAB/mysql" "$LAB/run/mysql"
  if [ ! -d "$LAB/mysql/mysql" ]; then
    TMPDIR=$LAB/run/mysql mariadb-install-db --no-defaults --user=mysql --datadir="$LAB/mysql" --auth-root-authentication-method=normal --skip-test-db >"$LAB/log/mysql-install.log" 2>&1 \
      || { tail -20 "$LAB/log/mysql-install.log" >&2; exit 8; }
    say "mariadb data directory initialised"
  fi
  if ! alive "$LAB/run/mysql/mariadbd.pid"; then
    nohup setsid /usr/sbin/mariadbd --no-defaults --user=mysql --datadir="$LAB/mysql" --tmpdir="$LAB/run/mysql" --bind-address=127.0.0.1 --port=$DBP \
      --socket="$LAB/run/mysql/m.sock" --pid-file="$LAB/run/mysql/mariadbd.pid" --log-error="$LAB/log/mariadbd.log" \
      --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=0 --skip-name-resolve >/dev/null 2>&1 </dev/null &
    for _ in $(seq 200); do mariadb-admin --no-defaults -S "$LAB/run/mysql/m.sock" -uroot ping >/dev/null 2>&1 && break; sleep .1; done
    mariadb --no-defaults -S "$LAB/run/mysql/m.sock" -uroot -e "CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'labpass'; GRANT ALL ON slurm_acct.* TO 'slurm'@'127.0.0.1'; FLUSH PRIVILEGES;"
    say "mariadbd up"
  fi
  cat >"$LAB/etc/slurmdbd.conf" <<C
AuthType=auth/munge
AuthInfo=socket=$MSOCK,cred_expire=${CRED_EXPIRE:-10}
DbdHost=$HOST
DbdAddr=127.0.0.1
DbdPort=$((BASE_PORT+2))
CommunicationParameters=NoInAddrAny
SlurmUser=root
LogFile=$LAB/log/slurmdbd.log
PidFile=$LAB/run/slurmdbd.pid
DebugLevel=info
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$DBP
StorageUser=slurm
StoragePass=labpass
StorageLoc=slurm_acct
C
  chmod 600 "$LAB/etc/slurmdbd.conf"
  if ! alive "$LAB/run/slurmdbd.pid"; then
    # slurmdbd looks for slurmdbd.conf beside $SLURM_CONF
    nohup setsid /usr/sbin/slurmdbd -D >>"$LAB/log/slurmdbd.out" 2>&1 </dev/null &
    for _ in $(seq 300); do sacctmgr -n -P list cluster >/dev/null 2>&1 && break; sleep .1; done
    sacctmgr -n -P list cluster >/dev/null 2>&1 || { say "slurmdbd not answering"; tail -5 "$LAB/log/slurmdbd.log" >&2; exit 5; }
    sacctmgr -n -P list cluster format=cluster | grep -qx lab || sacctmgr -i add cluster lab >/dev/null
    sacctmgr -n -P list account format=account | grep -qx lab || sacctmgr -i add account lab cluster=lab >/dev/null
    sacctmgr -n -P list user format=user,defaultaccount | grep -q '^root|lab' || sacctmgr -i add user root account=lab defaultaccount=lab >/dev/null
    say "slurmdbd up"
  fi
fi
if ! alive "$LAB/run/slurmctld.pid"; then
  nohup setsid /usr/sbin/slurmctld -D -f "$SLURM_CONF" >>"$LAB/log/slurmctld.out" 2>&1 </dev/null &
  for _ in $(seq 300); do timeout 5 scontrol ping 2>/dev/null | grep -q 'is UP' && { up=1; break; }; sleep .1; done
  [ "${up:-0}" = 1 ] || { say "slurmctld not answering"; grep -E "error|fatal" "$LAB/log/slurmctld.log" | tail -8 >&2; exit 7; }
  say "slurmctld up"
fi
for i in $(seq 1 "$NODES"); do
  alive "$LAB/run/slurmd-$NODE$i.pid" && continue
  mkdir -p "$LAB/spool/$NODE$i"
  # as on any real cluster, every node has a host name of its own
  printf '127.0.0.1 localhost %s %s\n' "$NODE$i" "$HOST" >"$LAB/etc/hosts-$NODE$i"
  start="hostname $NODE$i; mount --bind $LAB/etc/hosts-$NODE$i /etc/hosts; exec /usr/sbin/slurmd -D -N $NODE$i -f $SLURM_CONF"
  nohup setsid unshare --uts --mount bash -c "$start" >>"$LAB/log/slurmd-$NODE$i.out" 2>&1 </dev/null &
done
ok=0; for _ in $(seq 600); do
  n=$(timeout 5 sinfo -h -N -p main -o '%t' 2>/dev/null | grep -cE '^(idle|mix|alloc)$' || true); [ "$n" = "$NODES" ] && { ok=1; break; }; sleep .1; done
[ $ok = 1 ] || { say "nodes not ready"; sinfo -N -l >&2 || true; tail -n 5 "$LAB"/log/slurmd-*.log >&2; exit 6; }
say "cluster ready: $NODES nodes idle, cgroup=$cgplug dbd=$DBD"
echo "export SLURM_CONF=$SLURM_CONF"
