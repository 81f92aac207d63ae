/* The clock of the day, moved by so many seconds as the size of the file that EXHOOK_POLICY_TEST_CLOCK names: back. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*real)(clockid_t, struct timespec *);
    struct stat file;
    int result;
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    result = real(clock, time);
    const char *name = getenv("EXHOOK_POLICY_TEST_CLOCK");
    if (clock == CLOCK_REALTIME && result == 0 && name && stat(name, &file) == 0)
        time->tv_sec -= file.st_size;
    return result;
}
