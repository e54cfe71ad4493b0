/* test_machine.c - what control groups allow, from made-up files. */
#include "main/settings/machine.c"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[] = "/tmp/test_machine_XXXXXX";

/* Writes a file below the root, with the folders on the way. */
static void put(const char *path, const char *text) {
    char whole[300];
    snprintf(whole, sizeof(whole), "%s%s", root, path);
    for (char *at = whole + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(whole, 0700);
        *at = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void wipe(void) {
    char command[80];
    snprintf(command, sizeof(command), "rm -rf '%s' && mkdir '%s'", root, root);
    assert_int_equal(system(command), 0);
}

static struct machine look(void) {
    struct machine machine = {0};
    machine_probe_files(&machine, root);
    wipe();
    return machine;
}

#define MEMINFO "MemTotal:       4194304 kB\nMemFree: 1 kB\n"
#define GIB (UINT64_C(1) << 30)

static void test_none(void **state) {
    (void)state;
    struct machine machine = look();
    assert_int_equal(machine.memory_bytes, GIB); /* nothing to be read */
    assert_int_equal(machine.cpu_quota, 0);
    put("/proc/meminfo", MEMINFO);
    machine = look();
    assert_int_equal(machine.memory_bytes, 4 * GIB);
}

static void test_v2(void **state) {
    (void)state;
    put("/proc/meminfo", MEMINFO);
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    put("/sys/fs/cgroup/a/b/memory.max", "2147483648\n");
    put("/sys/fs/cgroup/a/memory.max", "max\n");
    struct machine machine = look();
    assert_int_equal(machine.cpu_quota, 2); /* of the group above, rounded up */
    assert_int_equal(machine.memory_bytes, 2 * GIB);
}

/* In a container the path is the host's, the mount our own part. */
static void test_v2_container(void **state) {
    (void)state;
    put("/proc/meminfo", MEMINFO);
    put("/proc/self/cgroup", "0::/docker/123456\n");
    put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    put("/sys/fs/cgroup/memory.max", "1073741824\n");
    struct machine machine = look();
    assert_int_equal(machine.cpu_quota, 1);
    assert_int_equal(machine.memory_bytes, GIB);
}

static void test_v1(void **state) {
    (void)state;
    put("/proc/meminfo", MEMINFO);
    put("/proc/self/cgroup",
        "5:cpuset:/\n4:cpu,cpuacct:/x\n3:memory:/x/y\n1:name=systemd:/\n0::/\n");
    put("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "300000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "3221225472\n");
    struct machine machine = look();
    assert_int_equal(machine.cpu_quota, 3);
    assert_int_equal(machine.memory_bytes, 3 * GIB);
}

static void test_nonsense(void **state) {
    (void)state;
    put("/proc/meminfo", "MemTotal: lots\n");
    put("/proc/self/cgroup", "\n::\n:\n0:\n0::\n0::x\n4:cpu,:/\n0::/../../..\n7:cpu:/");
    put("/sys/fs/cgroup/cpu.max", "100000 0\n");
    put("/sys/fs/cgroup/memory.max", "0\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "x\n");
    struct machine machine = look();
    assert_int_equal(machine.memory_bytes, GIB);
    assert_int_equal(machine.cpu_quota, 0);
}

static void test_this_machine(void **state) {
    (void)state;
    struct machine machine;
    unsigned found = 0;
    machine_probe(&machine);
    for (unsigned cpu = 0; cpu < MACHINE_CPUS_MAX + 8; cpu++)
        found += machine_has_cpu(&machine, cpu);
    assert_int_equal(found, machine.cpus);
    assert_true(machine.cpus >= 1 && machine.memory_bytes > 0 && machine.open_files > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),         cmocka_unit_test(test_v2),
        cmocka_unit_test(test_v2_container), cmocka_unit_test(test_v1),
        cmocka_unit_test(test_nonsense),     cmocka_unit_test(test_this_machine),
    };
    if (mkdtemp(root) == NULL)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(root);
    return failed;
}
