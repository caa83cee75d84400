/*
 * A stand-in for NVIDIA's CUDA driver library, libcuda.so.1: enough of it to
 * have a process in which CUDA is initialised already, and to ask which devices
 * that process sees.
 *
 * What cuInit sees of CUDA_VISIBLE_DEVICES holds for the process: a later
 * change of the variable changes nothing.  The count of devices is the number
 * of entries in the variable, up to the first that is empty or negative.  Where
 * the variable is not set, it is the number of "gpu" lines in the state file
 * named by GPUPOOL_STANDIN_NVML (see nvml.c), or 0 without one.
 *
 * A device's UUID is that of the "gpu" or "mig" line in the state file that its
 * entry names, by index (of GPUs) or by the beginning of its UUID; where there
 * is none, asking for it answers CUDA_ERROR_INVALID_DEVICE.  cuDeviceGetUuid
 * gives a MIG device's GPU's, as the real one does, cuDeviceGetUuid_v2 its own.
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
    CUDA_ERROR_INVALID_DEVICE = 101,
    DRIVER_VERSION = 12080,
    UUID_BYTES = 16,
    LINE_SIZE = 96
};

typedef int CUresult;
typedef int CUdevice;
typedef struct {
    char bytes[UUID_BYTES];
} CUuuid;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int device_count = -1; /* -1: not initialised */
static char *entries;         /* what was visible then; NULL: every GPU */

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

    entries = visible == NULL ? NULL : strdup(visible);
    device_count = visible == NULL ? count_all() : count_entries(visible);
}

/* The entry of a device: a copy, "0", "1", ... where every GPU is visible. */
static void entry_of(CUdevice device, char *entry)
{
    const char *found = entries;

    if (entries == NULL) {
        snprintf(entry, LINE_SIZE, "%d", device);
        return;
    }
    for (int skipped = 0; skipped < device; skipped++)
        found = strchr(found, ',') + 1;
    snprintf(entry, LINE_SIZE, "%.*s", (int)strcspn(found, ","), found);
}

/* Whether a line of the state, "gpu UUID" or "mig UUID", is what an entry names; gpu is its index, -1 for a MIG's. */
static int is_named(const char *entry, const char *line, int gpu)
{
    if (strncmp(entry, "GPU-", 4) == 0 || strncmp(entry, "MIG-", 4) == 0)
        return strncmp(line + 4, entry, strlen(entry)) == 0;
    return gpu == atoi(entry);
}

/* The UUID that an entry names, and that of its GPU; 0 where there is none. */
static int find_uuid(FILE *state, const char *entry, char *own, char *parent)
{
    char line[LINE_SIZE];
    int gpus = 0, found = 0;

    while (!found && fgets(line, sizeof line, state) != NULL) {
        int is_gpu = strncmp(line, "gpu ", 4) == 0;

        line[strcspn(line, "\n")] = '\0';
        if (is_gpu)
            snprintf(parent, LINE_SIZE, "%s", line + 4);
        if (is_gpu || strncmp(line, "mig ", 4) == 0)
            found = is_named(entry, line, is_gpu ? gpus : -1);
        gpus += is_gpu;
    }
    if (found)
        snprintf(own, LINE_SIZE, "%s", line + 4);
    return found;
}

/* The bytes of "GPU-01234567-...": its hexadecimal digits after the prefix. */
static void parse_uuid(CUuuid *uuid, const char *text)
{
    int digits = 0;

    memset(uuid, 0, sizeof *uuid);
    for (text += 4; *text != '\0' && digits < 2 * UUID_BYTES; text++) {
        char digit[2] = {*text, '\0'};

        if (*text == '-')
            continue;
        uuid->bytes[digits / 2] |= (char)(strtol(digit, NULL, 16) << (digits % 2 ? 0 : 4));
        digits++;
    }
}

static CUresult get_uuid(CUuuid *uuid, CUdevice device, int of_parent)
{
    char entry[LINE_SIZE], own[LINE_SIZE], parent[LINE_SIZE];
    const char *path = getenv("GPUPOOL_STANDIN_NVML");
    FILE *state;
    int found;

    if (device_count < 0)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (uuid == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    state = path == NULL || device < 0 || device >= device_count ? NULL : fopen(path, "re");
    if (state == NULL)
        return CUDA_ERROR_INVALID_DEVICE;
    entry_of(device, entry);
    found = find_uuid(state, entry, own, parent);
    fclose(state);
    if (found)
        parse_uuid(uuid, of_parent ? parent : own);
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
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

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    if (device_count < 0)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (device == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (ordinal < 0 || ordinal >= device_count)
        return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device)
{
    return get_uuid(uuid, device, 1);
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
    return get_uuid(uuid, device, 0);
}
