/*
 * A stand-in for NVIDIA's CUDA driver library, libcuda.so.1: enough of it to
 * have a process in which CUDA is initialised already.
 *
 * What cuInit sees of CUDA_VISIBLE_DEVICES holds for the process: a later
 * change of the variable changes nothing.  The count of devices is the number
 * of entries in the variable, up to the first that is empty or negative.  Where
 * the variable is not set, it is the number of "gpu" lines in the state file
 * named by GPUPOOL_STANDIN_NVML (see nvml.c), or 0 without one.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    DRIVER_VERSION = 12080
};

typedef int CUresult;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int device_count = -1; /* -1: not initialised */

static int count_entries(const char *visible)
{
    int count = 0;

    while (visible != NULL && *visible != '\0' && *visible != ',' && *visible != '-') {
        count++;
        visible = strchr(visible, ',');
        if (visible != NULL)
            visible++;
    }
    return count;
}

static int count_gpus(FILE *state)
{
    char *line = NULL;
    size_t size = 0;
    int count = 0;

    while (getline(&line, &size, state) != -1)
        count += strncmp(line, "gpu ", 4) == 0;
    free(line);
    return count;
}

static int count_all(void)
{
    const char *path = getenv("GPUPOOL_STANDIN_NVML");
    FILE *state = path == NULL ? NULL : fopen(path, "re");
    int count;

    if (state == NULL)
        return 0;
    count = count_gpus(state);
    fclose(state);
    return count;
}

static void initialise(void)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");

    device_count = visible == NULL ? count_all() : count_entries(visible);
}

CUresult cuInit(unsigned flags)
{
    if (flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_once(&once, initialise);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
    if (device_count < 0)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (count == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    *count = device_count;
    return CUDA_SUCCESS;
}

/* CUDA gives its version without cuInit. */
CUresult cuDriverGetVersion(int *version)
{
    if (version == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    *version = DRIVER_VERSION;
    return CUDA_SUCCESS;
}
