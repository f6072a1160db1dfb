import torch

from landmarks.machine import free_memory, say_bytes

CPU = torch.device("cpu")
GIB = 2**30


def machine(root, groups, available=8 * GIB // 1024, own="0::/job/step\n"):
    """Write a file system's memory pages; `groups`: folder -> file name -> content."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:  {available} kB\n")
    (root / "proc/self/cgroup").write_text(own)
    for folder, files in groups.items():
        (root / "sys/fs/cgroup" / folder).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (root / "sys/fs/cgroup" / folder / name).write_text(f"{content}\n")
    return root


def group(limit, usage, stat="anon 5\nactive_file 0\ninactive_file 0"):
    return {"memory.max": limit, "memory.current": usage, "memory.stat": stat}


def test_without_groups_the_kernel_says(tmp_path):
    assert free_memory(CPU, machine(tmp_path, {})) == 8 * GIB


def test_the_tightest_group_counts_and_pages_of_files_can_be_given_up(tmp_path):
    stat = f"anon 5\nactive_file {GIB // 2}\ninactive_file {GIB // 2}"
    groups = {"job": group(6 * GIB, 4 * GIB, stat), "job/step": group("max", GIB)}
    assert free_memory(CPU, machine(tmp_path, groups)) == 3 * GIB


def test_a_container_sees_its_group_as_the_root(tmp_path):
    found = free_memory(CPU, machine(tmp_path, {".": group(2 * GIB, GIB)}))
    assert found == GIB


def test_version_1_of_groups(tmp_path):
    files = {
        "memory.limit_in_bytes": 4 * GIB,
        "memory.usage_in_bytes": 2 * GIB,
        "memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB}\ntotal_active_file 0",
    }
    own = "9:name=systemd:/\n4:cpu,memory:/job\n0::/\n"
    assert free_memory(CPU, machine(tmp_path, {"memory/job": files}, own=own)) == 3 * GIB


def test_more_used_than_allowed_leaves_nothing(tmp_path):
    assert free_memory(CPU, machine(tmp_path, {"job": group(GIB, 2 * GIB)})) == 0


def test_unknown_systems_do_not_say(tmp_path):
    assert free_memory(CPU, tmp_path) is None


def test_say_bytes():
    assert say_bytes(300) == "0 KiB" and say_bytes(4200) == "4 KiB"
    assert say_bytes(41.24 * GIB) == "41.2 GiB" and say_bytes(350 * 2**20) == "350 MiB"
