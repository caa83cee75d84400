/*
 * A stand-in for NVIDIA's management library, libnvidia-ml.so.1.
 *
 * Everything it answers comes from the text file named by the environment
 * variable GPUPOOL_STANDIN_NVML.  The file is read again at every call, so a
 * change to it is seen by processes that are already running; the writer
 * replaces the file whole (rename), so a reader sees the old or the new state.
 *
 * The state is one statement a line, a key and its value after one space.
 * Empty lines and lines that begin with '#' say nothing.
 *
 *   driver 570.86.15       version strings and the CUDA version (12080 = 12.8)
 *   nvml 12.570.86.15
 *   cuda 12080
 *   init 9                 nvmlInit* fails with this code (0: it succeeds)
 *   fault FUNCTION CODE    this function fails with CODE everywhere
 *
 *   gpu UUID               begins a GPU (in the order of their indices)
 *   mig UUID               begins a MIG device of the GPU above it
 *
 * The lines after "gpu" or "mig" describe that device:
 *
 *   name TEXT              to the end of the line
 *   memory N               total bytes
 *   used N, reserved N     bytes, apart from one another
 *   compute PID N          a compute process and its bytes ('-': not available)
 *   graphics PID N         a graphics process, likewise
 *   mps PID N              a client of MPS, likewise
 *   fault FUNCTION CODE    this function fails with CODE for this device (for a
 *                          GPU: for its MIG devices too)
 *   gi N, ci N             GPU and compute instance ids           (mig only)
 *   mig-capable 0|1, mig-enabled 0|1, mig-pending 0|1             (gpu only)
 *   lost N                 every call with its handle fails so    (gpu only)
 *   lookup N               looking its handle up fails so         (gpu only)
 *   utilization N, memory-utilization N   per cent                (gpu only)
 *   temperature N, power N, energy N      C, mW, mJ               (gpu only)
 *   reasons N              bits: why the clocks are as they are   (gpu only)
 *   compute-mode N         0 default, 2 prohibited, 3 exclusive   (gpu only)
 *   core N                 a core near it; a line each            (gpu only)
 *   hang FUNCTION          this function does not return for this device while
 *                          the file says so (for a GPU: for its MIG devices too)
 *
 * No file: nvmlInit* answers DRIVER_NOT_LOADED.  A line that is not
 * understood: a word on stderr, and every call answers UNKNOWN.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_GPU_IS_LOST = 15,
    NVML_ERROR_MEMORY = 20,
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
    NVML_ERROR_UNKNOWN = 999
};

enum {
    VERSION_SIZE = 80,
    UUID_SIZE = 96,
    NAME_SIZE = 96,
    FUNCTION_SIZE = 64,
    MAX_DEVICES = 128,
    MAX_PROCESSES = 1024,
    MAX_FAULTS = 256,
    MAX_MIG_DEVICES = 7,
    MAX_CORE_WORDS = 16,
    CORES_A_WORD = 64,
    NOWHERE = -1,
    HANGS = -1, /* the code of a fault that is a hang */
    HANG_POLL_MICROSECONDS = 2000
};

#define NO_INSTANCE 0xFFFFFFFFu
#define MEMORY_V2 0x02000028u
#define TEMPERATURE_V1 0x0100000Cu

typedef int nvmlReturn_t;
typedef unsigned long long number;

/* What a handle points to: it names a device, whatever the state says of it. */
struct record {
    char uuid[UUID_SIZE];
};
typedef struct record *nvmlDevice_t;

typedef struct {
    unsigned long long total, free, used;
} nvmlMemory_t;

typedef struct {
    unsigned int version;
    unsigned long long total, reserved, free, used;
} nvmlMemory_v2_t;

typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;

typedef struct {
    unsigned int gpu, memory;
} nvmlUtilization_t;

typedef struct {
    unsigned int version;
    int sensor;
    int temperature;
} nvmlTemperature_v1_t;

struct device {
    char uuid[UUID_SIZE];
    char name[NAME_SIZE];
    int parent;     /* the place of its GPU for a MIG device, else NOWHERE */
    unsigned index; /* among the GPUs, or among the MIG devices of its GPU */
    number memory, used, reserved, gi, ci;
    number mig_capable, mig_enabled, mig_pending;
    number lost, lookup;
    number utilization, memory_utilization, temperature, power, energy, reasons;
    number compute_mode;
    int has_cores;
    number cores[MAX_CORE_WORDS]; /* bits */
};

enum kind { COMPUTE, GRAPHICS, MPS };

struct process {
    int device;
    enum kind kind;
    unsigned pid;
    number bytes;
};

struct fault {
    int device;
    int code;
    char function[FUNCTION_SIZE];
};

struct state {
    char driver[VERSION_SIZE], nvml[VERSION_SIZE];
    number cuda, init;
    int device_count, process_count, fault_count;
    struct device devices[MAX_DEVICES];
    struct process processes[MAX_PROCESSES];
    struct fault faults[MAX_FAULTS];
};

/* One state for each thread: callers may hold no lock of their own here. */
static _Thread_local struct state state;
static atomic_int initialised;

/* ---- reading the state ------------------------------------------------- */

static const struct {
    const char *key;
    size_t offset;
} NUMBERS[] = {
    {"memory", offsetof(struct device, memory)},
    {"used", offsetof(struct device, used)},
    {"reserved", offsetof(struct device, reserved)},
    {"gi", offsetof(struct device, gi)},
    {"ci", offsetof(struct device, ci)},
    {"mig-capable", offsetof(struct device, mig_capable)},
    {"mig-enabled", offsetof(struct device, mig_enabled)},
    {"mig-pending", offsetof(struct device, mig_pending)},
    {"lost", offsetof(struct device, lost)},
    {"lookup", offsetof(struct device, lookup)},
    {"utilization", offsetof(struct device, utilization)},
    {"memory-utilization", offsetof(struct device, memory_utilization)},
    {"temperature", offsetof(struct device, temperature)},
    {"power", offsetof(struct device, power)},
    {"energy", offsetof(struct device, energy)},
    {"reasons", offsetof(struct device, reasons)},
    {"compute-mode", offsetof(struct device, compute_mode)},
};

/* The parsers answer 1 where they understood the text, else 0. */
static int parse_text(char *target, size_t size, const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length >= size)
        return 0;
    memcpy(target, text, length + 1);
    return 1;
}

static int parse_number(number *target, const char *text)
{
    char *end = NULL;

    if (text[0] < '0' || text[0] > '9')
        return 0;
    *target = strtoull(text, &end, 10);
    return *end == '\0';
}

static int last_gpu(void)
{
    int place = state.device_count - 1;

    return place >= 0 && state.devices[place].parent != NOWHERE ? state.devices[place].parent : place;
}

static unsigned siblings(int parent)
{
    unsigned count = 0;

    for (int i = 0; i < state.device_count; i++)
        count += state.devices[i].parent == parent;
    return count;
}

static int parse_device(int is_mig, const char *uuid)
{
    int parent = is_mig ? last_gpu() : NOWHERE;
    struct device *device = &state.devices[state.device_count];

    if (state.device_count == MAX_DEVICES || (is_mig && parent == NOWHERE))
        return 0;
    device->index = siblings(parent);
    device->parent = parent;
    state.device_count++;
    return parse_text(device->uuid, sizeof device->uuid, uuid);
}

static int parse_process(enum kind kind, char *value)
{
    struct process *process = &state.processes[state.process_count];
    char *bytes = strchr(value, ' ');
    number pid = 0;

    if (bytes == NULL || state.device_count == 0 || state.process_count == MAX_PROCESSES)
        return 0;
    *bytes++ = '\0';
    if (!parse_number(&pid, value))
        return 0;
    process->device = state.device_count - 1;
    process->kind = kind;
    process->pid = (unsigned)pid;
    process->bytes = ~0ULL;
    state.process_count++;
    return strcmp(bytes, "-") == 0 || parse_number(&process->bytes, bytes);
}

static int add_fault(const char *function, int code)
{
    struct fault *fault = &state.faults[state.fault_count];

    if (state.fault_count == MAX_FAULTS)
        return 0;
    fault->device = state.device_count - 1;
    fault->code = code;
    state.fault_count++;
    return parse_text(fault->function, sizeof fault->function, function);
}

static int parse_fault(char *value)
{
    char *code = strchr(value, ' ');
    number parsed = 0;

    if (code == NULL)
        return 0;
    *code++ = '\0';
    return parse_number(&parsed, code) && add_fault(value, (int)parsed);
}

static int parse_system(const char *key, const char *value)
{
    if (strcmp(key, "driver") == 0)
        return parse_text(state.driver, sizeof state.driver, value);
    if (strcmp(key, "nvml") == 0)
        return parse_text(state.nvml, sizeof state.nvml, value);
    if (strcmp(key, "cuda") == 0)
        return parse_number(&state.cuda, value);
    return strcmp(key, "init") == 0 && parse_number(&state.init, value);
}

static int parse_core(struct device *device, const char *value)
{
    number core = 0;

    if (!parse_number(&core, value) || core >= MAX_CORE_WORDS * CORES_A_WORD)
        return 0;
    device->has_cores = 1;
    device->cores[core / CORES_A_WORD] |= 1ULL << core % CORES_A_WORD;
    return 1;
}

static int parse_field(struct device *device, const char *key, const char *value)
{
    if (strcmp(key, "core") == 0)
        return parse_core(device, value);
    if (strcmp(key, "name") == 0)
        return parse_text(device->name, sizeof device->name, value);
    for (size_t i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++)
        if (strcmp(key, NUMBERS[i].key) == 0)
            return parse_number((number *)((char *)device + NUMBERS[i].offset), value);
    return 0;
}

static int parse_line(char *line)
{
    char *value = strchr(line, ' ');

    if (line[0] == '\0' || line[0] == '#')
        return 1;
    if (value == NULL)
        return 0;
    *value++ = '\0';
    if (strcmp(line, "gpu") == 0 || strcmp(line, "mig") == 0)
        return parse_device(line[0] == 'm', value);
    if (strcmp(line, "compute") == 0)
        return parse_process(COMPUTE, value);
    if (strcmp(line, "graphics") == 0)
        return parse_process(GRAPHICS, value);
    if (strcmp(line, "mps") == 0)
        return parse_process(MPS, value);
    if (strcmp(line, "fault") == 0)
        return parse_fault(value);
    if (strcmp(line, "hang") == 0)
        return state.device_count > 0 && add_fault(value, HANGS);
    if (state.device_count == 0)
        return parse_system(line, value);
    return parse_field(&state.devices[state.device_count - 1], line, value);
}

static nvmlReturn_t parse_file(FILE *file)
{
    nvmlReturn_t result = NVML_SUCCESS;
    char *line = NULL;
    size_t size = 0;
    int number_of_line = 0;

    while (result == NVML_SUCCESS && getline(&line, &size, file) != -1) {
        number_of_line++;
        line[strcspn(line, "\n")] = '\0';
        if (!parse_line(line)) {
            fprintf(stderr, "NVML stand-in: state line %d not understood: %s\n", number_of_line, line);
            result = NVML_ERROR_UNKNOWN;
        }
    }
    free(line);
    return result;
}

static nvmlReturn_t load(void)
{
    const char *path = getenv("GPUPOOL_STANDIN_NVML");
    /* 'e' closes it on exec: no test's child may inherit a file from here. */
    FILE *file = path == NULL ? NULL : fopen(path, "re");
    nvmlReturn_t result;

    memset(&state, 0, sizeof state);
    if (file == NULL)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    result = parse_file(file);
    fclose(file);
    return result;
}

/* ---- handles ----------------------------------------------------------- */

static struct record records[MAX_DEVICES * 4];
static size_t record_count;
static pthread_mutex_t records_lock = PTHREAD_MUTEX_INITIALIZER;

static void lock_records(void) { pthread_mutex_lock(&records_lock); }
static void unlock_records(void) { pthread_mutex_unlock(&records_lock); }

/* A fork in one thread must not leave the child with another's lock. */
__attribute__((constructor)) static void survive_fork(void)
{
    pthread_atfork(lock_records, unlock_records, unlock_records);
}

static nvmlDevice_t record_of(const char *uuid)
{
    for (size_t i = 0; i < record_count; i++)
        if (strcmp(records[i].uuid, uuid) == 0)
            return &records[i];
    if (record_count == sizeof records / sizeof *records)
        return NULL;
    strcpy(records[record_count].uuid, uuid);
    return &records[record_count++];
}

static nvmlReturn_t give_handle(const struct device *device, nvmlDevice_t *handle)
{
    lock_records();
    *handle = record_of(device->uuid);
    unlock_records();
    return *handle == NULL ? NVML_ERROR_MEMORY : NVML_SUCCESS;
}

static int is_handle(nvmlDevice_t handle)
{
    int known = 0;

    lock_records();
    for (size_t i = 0; i < record_count; i++)
        known |= handle == &records[i];
    unlock_records();
    return known;
}

/* ---- what every call does first ---------------------------------------- */

static int place_of(const struct device *device)
{
    return device == NULL ? NOWHERE : (int)(device - state.devices);
}

static struct device *gpu_of(struct device *device)
{
    return device->parent == NOWHERE ? device : &state.devices[device->parent];
}

static nvmlReturn_t fault_of(const char *function, int place)
{
    for (int i = 0; i < state.fault_count; i++)
        if (state.faults[i].device == place && strcmp(state.faults[i].function, function) == 0)
            return state.faults[i].code;
    return NVML_SUCCESS;
}

static nvmlReturn_t device_fault(const char *function, struct device *device)
{
    nvmlReturn_t result = fault_of(function, place_of(gpu_of(device)));

    return result != NVML_SUCCESS ? result : fault_of(function, place_of(device));
}

static nvmlReturn_t enter_without_init(const char *function)
{
    if (load() != NVML_SUCCESS)
        return NVML_ERROR_UNKNOWN;
    return fault_of(function, NOWHERE);
}

static nvmlReturn_t enter(const char *function)
{
    return atomic_load(&initialised) == 0 ? NVML_ERROR_UNINITIALIZED : enter_without_init(function);
}

static struct device *find_uuid(const char *uuid)
{
    for (int i = 0; i < state.device_count; i++)
        if (strcmp(state.devices[i].uuid, uuid) == 0)
            return &state.devices[i];
    return NULL;
}

static struct device *find_index(int parent, unsigned index)
{
    for (int i = 0; i < state.device_count; i++)
        if (state.devices[i].parent == parent && state.devices[i].index == index)
            return &state.devices[i];
    return NULL;
}

static nvmlReturn_t gone(const char *uuid)
{
    return strncmp(uuid, "MIG-", 4) == 0 ? NVML_ERROR_INVALID_ARGUMENT : NVML_ERROR_GPU_IS_LOST;
}

static nvmlReturn_t resolve(const char *function, nvmlDevice_t handle, struct device **device)
{
    *device = find_uuid(handle->uuid);
    if (*device == NULL)
        return gone(handle->uuid);
    if (gpu_of(*device)->lost != 0)
        return (nvmlReturn_t)gpu_of(*device)->lost;
    return device_fault(function, *device);
}

/* Leave in *device what the handle stands for; `answer` is where the caller wants its result. */
static nvmlReturn_t enter_device(const char *function, nvmlDevice_t handle, const void *answer,
                                 struct device **device)
{
    nvmlReturn_t result = enter(function);

    if (result != NVML_SUCCESS)
        return result;
    if (answer == NULL || !is_handle(handle))
        return NVML_ERROR_INVALID_ARGUMENT;
    while ((result = resolve(function, handle, device)) == HANGS) {
        usleep(HANG_POLL_MICROSECONDS);
        if (load() != NVML_SUCCESS)
            return NVML_ERROR_UNKNOWN;
    }
    return result;
}

/* The same for what only a whole GPU can answer. */
static nvmlReturn_t enter_gpu(const char *function, nvmlDevice_t handle, const void *answer,
                              struct device **device)
{
    nvmlReturn_t result = enter_device(function, handle, answer, device);

    return result == NVML_SUCCESS && (*device)->parent != NOWHERE ? NVML_ERROR_NOT_SUPPORTED : result;
}

/* The same for what only a MIG device can answer. */
static nvmlReturn_t enter_mig(const char *function, nvmlDevice_t handle, const void *answer,
                              struct device **device)
{
    nvmlReturn_t result = enter_device(function, handle, answer, device);

    return result == NVML_SUCCESS && (*device)->parent == NOWHERE ? NVML_ERROR_INVALID_ARGUMENT : result;
}

static nvmlReturn_t give_text(const char *text, char *buffer, unsigned size)
{
    if (buffer == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (strlen(text) >= size)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(buffer, text);
    return NVML_SUCCESS;
}

/* ---- the library and the system ---------------------------------------- */

static nvmlReturn_t start(const char *function)
{
    nvmlReturn_t result = load();

    if (result == NVML_SUCCESS)
        result = (nvmlReturn_t)state.init;
    if (result == NVML_SUCCESS)
        result = fault_of(function, NOWHERE);
    if (result == NVML_SUCCESS)
        atomic_fetch_add(&initialised, 1);
    return result;
}

nvmlReturn_t nvmlInit_v2(void) { return start(__func__); }

nvmlReturn_t nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    return start(__func__);
}

nvmlReturn_t nvmlShutdown(void)
{
    nvmlReturn_t result = enter(__func__);

    if (result == NVML_SUCCESS)
        atomic_fetch_sub(&initialised, 1);
    return result;
}

const char *nvmlErrorString(nvmlReturn_t result)
{
    static const struct {
        nvmlReturn_t code;
        const char *text;
    } texts[] = {
        {0, "Success"},
        {1, "Uninitialized"},
        {2, "Invalid Argument"},
        {3, "Not Supported"},
        {4, "Insufficient Permissions"},
        {6, "Not Found"},
        {7, "Insufficient Size"},
        {9, "Driver Not Loaded"},
        {10, "Timeout"},
        {12, "NVML Shared Library Not Found"},
        {13, "Function Not Found"},
        {15, "GPU is lost"},
        {16, "GPU requires reset"},
        {17, "GPU access blocked by the operating system"},
        {18, "Driver/library version mismatch"},
        {19, "In use by another client"},
        {20, "Insufficient Memory"},
        {25, "Version mismatch"},
        {29, "Invalid state"},
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].code == result)
            return texts[i].text;
    return "Unknown Error";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    nvmlReturn_t result = enter(__func__);

    return result == NVML_SUCCESS ? give_text(state.driver, version, length) : result;
}

/* NVML gives this and the CUDA version to callers that have not initialised it. */
nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned length)
{
    nvmlReturn_t result = enter_without_init(__func__);

    return result == NVML_SUCCESS ? give_text(state.nvml, version, length) : result;
}

static nvmlReturn_t cuda_version(const char *function, int *version)
{
    nvmlReturn_t result = enter_without_init(function);

    if (result == NVML_SUCCESS && version == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *version = (int)state.cuda;
    return result;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version) { return cuda_version(__func__, version); }

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) { return cuda_version(__func__, version); }

/* ---- finding devices --------------------------------------------------- */

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count)
{
    nvmlReturn_t result = enter(__func__);

    if (result == NVML_SUCCESS && count == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *count = siblings(NOWHERE);
    return result;
}

static nvmlReturn_t look_up(const char *function, struct device *device, nvmlDevice_t *handle)
{
    nvmlReturn_t result = (nvmlReturn_t)gpu_of(device)->lookup;

    if (result == NVML_SUCCESS)
        result = device_fault(function, device);
    return result == NVML_SUCCESS ? give_handle(device, handle) : result;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *handle)
{
    nvmlReturn_t result = enter(__func__);
    struct device *device;

    if (result != NVML_SUCCESS)
        return result;
    device = find_index(NOWHERE, index);
    if (handle == NULL || device == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    return look_up(__func__, device, handle);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *handle)
{
    nvmlReturn_t result = enter(__func__);
    struct device *device;

    if (result != NVML_SUCCESS)
        return result;
    if (uuid == NULL || handle == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    device = find_uuid(uuid);
    return device == NULL ? NVML_ERROR_NOT_FOUND : look_up(__func__, device, handle);
}

/* ---- what every device answers ----------------------------------------- */

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t handle, unsigned *index)
{
    struct device *device;
    nvmlReturn_t result = enter_device(__func__, handle, index, &device);

    if (result == NVML_SUCCESS)
        *index = device->index;
    return result;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t handle, char *uuid, unsigned length)
{
    struct device *device;
    nvmlReturn_t result = enter_device(__func__, handle, uuid, &device);

    return result == NVML_SUCCESS ? give_text(device->uuid, uuid, length) : result;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t handle, char *name, unsigned length)
{
    struct device *device;
    nvmlReturn_t result = enter_device(__func__, handle, name, &device);

    return result == NVML_SUCCESS ? give_text(device->name, name, length) : result;
}

/* In this first version what the driver reserves counts as used. */
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t handle, nvmlMemory_t *memory)
{
    struct device *device;
    nvmlReturn_t result = enter_device(__func__, handle, memory, &device);

    if (result != NVML_SUCCESS)
        return result;
    memory->total = device->memory;
    memory->used = device->used + device->reserved;
    memory->free = memory->total - memory->used;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t handle, nvmlMemory_v2_t *memory)
{
    struct device *device;
    nvmlReturn_t result = enter_device(__func__, handle, memory, &device);

    if (result != NVML_SUCCESS)
        return result;
    if (memory->version != MEMORY_V2)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    memory->total = device->memory;
    memory->reserved = device->reserved;
    memory->used = device->used;
    memory->free = device->memory - device->used - device->reserved;
    return NVML_SUCCESS;
}

static nvmlProcessInfo_t process_info(const struct process *process)
{
    const struct device *device = &state.devices[process->device];
    int is_mig = device->parent != NOWHERE;
    nvmlProcessInfo_t info = {
        .pid = process->pid,
        .usedGpuMemory = process->bytes,
        .gpuInstanceId = is_mig ? (unsigned)device->gi : NO_INSTANCE,
        .computeInstanceId = is_mig ? (unsigned)device->ci : NO_INSTANCE,
    };

    return info;
}

/* A GPU's processes are its own and those of its MIG devices. */
static int runs_on(const struct process *process, const struct device *device)
{
    int place = place_of(device);

    return process->device == place || state.devices[process->device].parent == place;
}

/* Count them all; write down as many as there is room for. */
static unsigned list_processes(const struct device *device, enum kind kind, unsigned room,
                               nvmlProcessInfo_t *infos)
{
    unsigned found = 0;

    for (int i = 0; i < state.process_count; i++) {
        const struct process *process = &state.processes[i];

        if (process->kind != kind || !runs_on(process, device))
            continue;
        if (found < room)
            infos[found] = process_info(process);
        found++;
    }
    return found;
}

static nvmlReturn_t running(const char *function, enum kind kind, nvmlDevice_t handle, unsigned *count,
                            nvmlProcessInfo_t *infos)
{
    struct device *device;
    nvmlReturn_t result = enter_device(function, handle, count, &device);
    unsigned room;

    if (result != NVML_SUCCESS)
        return result;
    room = infos == NULL ? 0 : *count;
    *count = list_processes(device, kind, room, infos);
    return *count > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t handle, unsigned *count,
                                                     nvmlProcessInfo_t *infos)
{
    return running(__func__, COMPUTE, handle, count, infos);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t handle, unsigned *count,
                                                      nvmlProcessInfo_t *infos)
{
    return running(__func__, GRAPHICS, handle, count, infos);
}

nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t handle, unsigned *count,
                                                        nvmlProcessInfo_t *infos)
{
    return running(__func__, MPS, handle, count, infos);
}

/* ---- MIG --------------------------------------------------------------- */

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t handle, unsigned *current, unsigned *pending)
{
    struct device *device;
    nvmlReturn_t result = enter_gpu(__func__, handle, current, &device);

    if (result != NVML_SUCCESS)
        return result;
    if (pending == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!device->mig_capable)
        return NVML_ERROR_NOT_SUPPORTED;
    *current = (unsigned)device->mig_enabled;
    *pending = (unsigned)device->mig_pending;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t handle, unsigned *count)
{
    struct device *device;
    nvmlReturn_t result = enter_gpu(__func__, handle, count, &device);

    if (result == NVML_SUCCESS)
        *count = device->mig_enabled ? MAX_MIG_DEVICES : 0;
    return result;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t handle, unsigned index, nvmlDevice_t *mig)
{
    struct device *device;
    nvmlReturn_t result = enter_gpu(__func__, handle, mig, &device);

    if (result != NVML_SUCCESS)
        return result;
    if (!device->mig_capable)
        return NVML_ERROR_NOT_SUPPORTED;
    device = find_index(place_of(device), index);
    return device == NULL ? NVML_ERROR_NOT_FOUND : give_handle(device, mig);
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t handle, unsigned *is_mig)
{
    struct device *device;
    nvmlReturn_t result = enter_device(__func__, handle, is_mig, &device);

    if (result == NVML_SUCCESS)
        *is_mig = device->parent != NOWHERE;
    return result;
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t mig, nvmlDevice_t *handle)
{
    struct device *device;
    nvmlReturn_t result = enter_mig(__func__, mig, handle, &device);

    return result == NVML_SUCCESS ? give_handle(gpu_of(device), handle) : result;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t handle, unsigned *id)
{
    struct device *device;
    nvmlReturn_t result = enter_mig(__func__, handle, id, &device);

    if (result == NVML_SUCCESS)
        *id = (unsigned)device->gi;
    return result;
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t handle, unsigned *id)
{
    struct device *device;
    nvmlReturn_t result = enter_mig(__func__, handle, id, &device);

    if (result == NVML_SUCCESS)
        *id = (unsigned)device->ci;
    return result;
}

/* ---- what only a whole GPU answers ------------------------------------- */

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t handle, int *mode)
{
    struct device *device;
    nvmlReturn_t result = enter_gpu(__func__, handle, mode, &device);

    if (result == NVML_SUCCESS)
        *mode = (int)device->compute_mode;
    return result;
}

/* As many words of bits as there is room for; NVML knows no cores on some machines. */
nvmlReturn_t nvmlDeviceGetCpuAffinity(nvmlDevice_t handle, unsigned size, unsigned long *cores)
{
    struct device *device;
    nvmlReturn_t result = enter_gpu(__func__, handle, cores, &device);

    if (result != NVML_SUCCESS)
        return result;
    if (!device->has_cores)
        return NVML_ERROR_NOT_SUPPORTED;
    for (unsigned word = 0; word < size; word++)
        cores[word] = word < MAX_CORE_WORDS ? device->cores[word] : 0;
    return NVML_SUCCESS;
}

/* NVML knows no utilization of a MIG device, nor of a GPU in MIG mode. */
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t handle, nvmlUtilization_t *rates)
{
    struct device *device;
    nvmlReturn_t result = enter_gpu(__func__, handle, rates, &device);

    if (result != NVML_SUCCESS)
        return result;
    if (device->mig_enabled)
        return NVML_ERROR_NOT_SUPPORTED;
    rates->gpu = (unsigned)device->utilization;
    rates->memory = (unsigned)device->memory_utilization;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t handle, unsigned sensor, unsigned *celsius)
{
    struct device *device;
    nvmlReturn_t result = enter_gpu(__func__, handle, celsius, &device);

    if (result != NVML_SUCCESS)
        return result;
    if (sensor != 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    *celsius = (unsigned)device->temperature;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t handle, nvmlTemperature_v1_t *temperature)
{
    struct device *device;
    nvmlReturn_t result = enter_gpu(__func__, handle, temperature, &device);

    if (result != NVML_SUCCESS)
        return result;
    if (temperature->version != TEMPERATURE_V1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (temperature->sensor != 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    temperature->temperature = (int)device->temperature;
    return NVML_SUCCESS;
}

/* One question under two names: the older one goes some day. */
static nvmlReturn_t reasons(const char *function, nvmlDevice_t handle, unsigned long long *bits)
{
    struct device *device;
    nvmlReturn_t result = enter_gpu(function, handle, bits, &device);

    if (result == NVML_SUCCESS)
        *bits = device->reasons;
    return result;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t handle, unsigned long long *bits)
{
    return reasons(__func__, handle, bits);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t handle, unsigned long long *bits)
{
    return reasons(__func__, handle, bits);
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t handle, unsigned *milliwatts)
{
    struct device *device;
    nvmlReturn_t result = enter_gpu(__func__, handle, milliwatts, &device);

    if (result == NVML_SUCCESS)
        *milliwatts = (unsigned)device->power;
    return result;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t handle, unsigned long long *millijoules)
{
    struct device *device;
    nvmlReturn_t result = enter_gpu(__func__, handle, millijoules, &device);

    if (result == NVML_SUCCESS)
        *millijoules = device->energy;
    return result;
}
