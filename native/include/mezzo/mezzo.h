/* SPDX-License-Identifier: MIT */
/*
 * Mezzo: mixed-precision training kernels behind one C ABI.
 *
 * This header holds what every op needs: versions, status codes, devices, memory statistics,
 * threads and tensors. The ops themselves are in <mezzo/ops.h>.
 *
 * Calls.      Every function that can fail returns a mezzo_status; MEZZO_STATUS_OK is 0. Outputs come
 *             first, then inputs, then the descriptor. A failed call changes none of its outputs
 *             unless its documentation says otherwise.
 * Errors.     The text of the calling thread's last failure is mezzo_last_error(). It names the
 *             function, the argument, what was expected and what was got. No C++ exception ever
 *             leaves the library.
 * Ownership.  A tensor handle is owned by the caller until mezzo_tensor_destroy(). Views share the
 *             storage of their base, which lives until the last of them is destroyed. An op never
 *             keeps a reference to its arguments after it has returned. Strings that are returned
 *             belong to the library; each function says how long they live.
 * Handles.    A handle carries a generation counter: a stale, twice destroyed or made-up handle is
 *             answered with MEZZO_STATUS_INVALID_HANDLE, never with a crash.
 * Threads.    All functions may be called from any thread at any time. Two calls that write the same
 *             tensor, or of which one writes what the other reads, must be ordered by the caller.
 *             The OpenMP run time keeps a pool of threads for each thread that has called an op, until
 *             that thread ends: call from few threads that live long.
 * Forks.      The child of fork() may go on calling. Once the parent has worked on several threads, the
 *             ops of the child run on the calling thread alone, with the same results. A device that another
 *             thread was capturing stays in that capture in the child.
 * Order.      Work on a device runs in the order of the calls that issued it. The CPU device has
 *             finished when a call returns; for the others see mezzo_device_synchronize().
 * Memory.     Tensors are row-major and contiguous, aligned to 64 bytes (a view: to its element).
 */
#ifndef MEZZO_MEZZO_H
#define MEZZO_MEZZO_H

#include <stdint.h>

#if defined(_WIN32)
#if defined(MEZZO_BUILDING)
#define MEZZO_API __declspec(dllexport)
#else
#define MEZZO_API __declspec(dllimport)
#endif
#else
#define MEZZO_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------
 * Version
 * ------------------------------------------------------------------------------------------- */

#define MEZZO_VERSION_MAJOR 0
#define MEZZO_VERSION_MINOR 1
#define MEZZO_VERSION_PATCH 0

/** Number that changes whenever a program compiled against an older header would break. */
#define MEZZO_ABI_VERSION 5

/** Largest number of dimensions of a tensor. */
#define MEZZO_MAX_RANK 8

/** The library's version as "major.minor.patch". The string lives as long as the library. */
MEZZO_API const char *mezzo_version(void);

/* ---------------------------------------------------------------------------------------------
 * Status and errors
 * ------------------------------------------------------------------------------------------- */

/* X(name, value, text): the one list of status codes and of what mezzo_status_text() says. */
#define MEZZO_STATUS_LIST(X)                                                       \
    X(OK, 0, "success")                                                            \
    X(INVALID_ARGUMENT, 1, "an argument is outside its documented range")          \
    X(INVALID_HANDLE, 2, "a handle is null, stale, destroyed or was never issued") \
    X(SHAPE_MISMATCH, 3, "a tensor's shape is not the expected one")               \
    X(DTYPE_MISMATCH, 4, "a tensor's dtype is not an accepted one")                \
    X(DEVICE_MISMATCH, 5, "tensors of one call live on different devices")         \
    X(OUT_OF_MEMORY, 6, "the device has not enough free memory")                   \
    X(DEVICE_UNAVAILABLE, 7, "the device does not exist on this machine")          \
    X(ABI_MISMATCH, 8, "the caller was built against another version of the ABI")  \
    X(INTERNAL, 9, "an unexpected failure inside the library")                     \
    X(CONTEXT_LOST, 10, "the device failed earlier and answers nothing more")      \
    X(CAPTURE_INVALID, 11, "the call and the capture of a graph do not go together")

/** What a call answers. Values are pinned and only ever appended to. */
typedef enum mezzo_status {
#define MEZZO_STATUS_ENUMERATOR(name, value, text) MEZZO_STATUS_##name = value,
    MEZZO_STATUS_LIST(MEZZO_STATUS_ENUMERATOR)
#undef MEZZO_STATUS_ENUMERATOR
} mezzo_status;

/** A short fixed text for a status code, "unknown status" for any other value. Lives for ever. */
MEZZO_API const char *mezzo_status_text(mezzo_status status);

/**
 * The text of the last failed call of the calling thread, "" when none has failed yet.
 * A call that succeeds leaves it as it is. The string is UTF-8 and lives until the next failing
 * call of the same thread.
 */
MEZZO_API const char *mezzo_last_error(void);

/**
 * Checks that the caller's header and this library agree. Call it once, first.
 *
 * @param abi_version the caller's MEZZO_ABI_VERSION
 * @return MEZZO_STATUS_ABI_MISMATCH when it differs from the library's own
 */
MEZZO_API mezzo_status mezzo_abi_check(uint32_t abi_version);

/* ---------------------------------------------------------------------------------------------
 * Element types
 * ------------------------------------------------------------------------------------------- */

/** Element type of a tensor. 0 is not a dtype. */
typedef enum mezzo_dtype {
    MEZZO_DTYPE_F32 = 1,  /**< IEEE 754 binary32, 4 bytes */
    MEZZO_DTYPE_F64 = 2,  /**< IEEE 754 binary64, 8 bytes */
    MEZZO_DTYPE_F16 = 3,  /**< IEEE 754 binary16, 2 bytes */
    MEZZO_DTYPE_BF16 = 4, /**< bfloat16, the upper half of a binary32, 2 bytes */
    MEZZO_DTYPE_I64 = 5,  /**< signed integer, 8 bytes */
    MEZZO_DTYPE_I32 = 6,  /**< signed integer, 4 bytes */
    MEZZO_DTYPE_U8 = 7    /**< unsigned integer, 1 byte */
} mezzo_dtype;

/* ---------------------------------------------------------------------------------------------
 * Devices
 * ------------------------------------------------------------------------------------------- */

/** Kind of a device. */
typedef enum mezzo_device_type {
    MEZZO_DEVICE_TYPE_CPU = 0, /**< the host processor; index 0 only */
    MEZZO_DEVICE_TYPE_CUDA = 1 /**< an NVIDIA GPU, by CUDA ordinal */
} mezzo_device_type;

/** A device, passed by value. All zero is the CPU. */
typedef struct mezzo_device_id {
    mezzo_device_type type; /**< kind of device */
    int32_t index;          /**< ordinal among the devices of that kind, from 0 */
} mezzo_device;

/**
 * Counts the devices of a kind that can be used, as far as that shows without opening them. A device is opened by the
 * first call that uses it, which answers DEVICE_UNAVAILABLE, and says why, where that fails; later calls try again.
 *
 * @param[out] out_count number of devices, 0 when there is none (which is not an error)
 * @param type kind of device
 */
MEZZO_API mezzo_status mezzo_device_count(int32_t *out_count, mezzo_device_type type);

/**
 * Names a device, for example the processor's model.
 *
 * @param[out] out_name UTF-8, lives as long as the library
 * @param device device to name; MEZZO_STATUS_DEVICE_UNAVAILABLE when it does not exist
 */
MEZZO_API mezzo_status mezzo_device_name(const char **out_name, mezzo_device device);

/**
 * Says why there is no device of a kind.
 *
 * @param[out] out_reason one sentence, "" when there is at least one; lives as long as the library
 * @param type kind of device
 */
MEZZO_API mezzo_status mezzo_device_missing_reason(const char **out_reason, mezzo_device_type type);

/**
 * The 16-bit type in which a device multiplies matrices fastest.
 *
 * @param[out] out_dtype MEZZO_DTYPE_BF16 on a CPU
 * @param device device to ask
 */
MEZZO_API mezzo_status mezzo_device_fast_dtype(mezzo_dtype *out_dtype, mezzo_device device);

/**
 * Waits until all work issued to a device has finished. Returns at once on the CPU.
 *
 * @param device device to wait for
 */
MEZZO_API mezzo_status mezzo_device_synchronize(mezzo_device device);

/* ---------------------------------------------------------------------------------------------
 * The CPU
 * ------------------------------------------------------------------------------------------- */

/**
 * Number of threads that CPU ops use: the MEZZO_NUM_THREADS environment variable when it was set at
 * the first use, else the number of processors that this process may run on. A value of the variable that
 * is not a number from 1 to 1024 is reported on stderr and ignored.
 *
 * @param[out] out_threads at least 1
 */
MEZZO_API mezzo_status mezzo_threads_get(int32_t *out_threads);

/**
 * Sets the number of threads of CPU ops issued from now on, by any thread.
 * Results of the same call are bit-identical for the same number of threads. A number above that of the
 * processors is taken as it is, so that results of a larger machine can be repeated; it only costs time.
 *
 * @param threads 1 to 1024
 */
MEZZO_API mezzo_status mezzo_threads_set(int32_t threads);

/** Instruction sets that the CPU path uses here, for example "avx2 avx512f avx512_bf16". Lives for ever. */
MEZZO_API const char *mezzo_cpu_instruction_sets(void);

/** Version of the oneDNN library in use, for example "2.6.3", "" when built without. Lives for ever. */
MEZZO_API const char *mezzo_onednn_version(void);

/* ---------------------------------------------------------------------------------------------
 * Memory
 * ------------------------------------------------------------------------------------------- */

/**
 * Memory of one device. Bytes of a tensor are counted rounded up to a multiple of 64. What oneDNN takes for
 * itself, its kernels and their scratch memory, is not counted.
 */
typedef struct mezzo_memory_stats {
    int64_t current_bytes; /**< bytes of live tensors and of scratch memory in use now */
    int64_t peak_bytes;    /**< largest current_bytes + graph_bytes since the last mezzo_memory_peak_reset() */
    int64_t cached_bytes;  /**< bytes freed by tensors and kept for the next ones */
    int64_t live_tensors;  /**< number of tensor handles not yet destroyed, views included */
    int64_t graph_bytes;   /**< bytes that graphs keep for their replays, not in current_bytes */
} mezzo_memory_stats;

/**
 * Reads a device's memory statistics.
 *
 * @param[out] out_stats filled
 * @param device device to ask
 */
MEZZO_API mezzo_status mezzo_memory_stats_get(mezzo_memory_stats *out_stats, mezzo_device device);

/**
 * Sets a device's peak_bytes to its current_bytes + graph_bytes.
 *
 * @param device device to reset
 */
MEZZO_API mezzo_status mezzo_memory_peak_reset(mezzo_device device);

/**
 * Bytes that tensors of a device could still take, as far as is known: what the system would give, what is cached, and
 * no more than the limit of mezzo_memory_limit_set() leaves. Other programs take from the same memory.
 *
 * @param[out] out_bytes at least 0
 * @param device device to ask
 */
MEZZO_API mezzo_status mezzo_memory_available(int64_t *out_bytes, mezzo_device device);

/**
 * Gives cached memory back to the system, the host memory of copies (mezzo_host_copy_create()) included.
 *
 * @param device device to trim
 */
MEZZO_API mezzo_status mezzo_memory_trim(mezzo_device device);

/**
 * Limits current_bytes + graph_bytes of a device: an allocation beyond it answers MEZZO_STATUS_OUT_OF_MEMORY.
 *
 * @param device device to limit
 * @param bytes largest current_bytes + graph_bytes, 0 for no limit (the default)
 */
MEZZO_API mezzo_status mezzo_memory_limit_set(mezzo_device device, int64_t bytes);

/* ---------------------------------------------------------------------------------------------
 * Tensors
 * ------------------------------------------------------------------------------------------- */

/** An opaque tensor handle, passed by value. id 0 is the null tensor. */
typedef struct mezzo_tensor_handle {
    uint64_t id; /**< slot and generation; of no meaning to the caller */
} mezzo_tensor;

/** What a tensor is. */
typedef struct mezzo_tensor_info {
    mezzo_device device;           /**< where it lives */
    mezzo_dtype dtype;             /**< its element type */
    int32_t rank;                  /**< number of dimensions, 0 for a scalar */
    int64_t elements;              /**< product of the dimensions, 1 for a scalar */
    int64_t bytes;                 /**< elements times the size of one */
    int64_t shape[MEZZO_MAX_RANK]; /**< dimensions, outermost first; 0 past rank */
} mezzo_tensor_info;

/**
 * Creates a tensor of uninitialised elements.
 *
 * @param[out] out_tensor handle, owned by the caller
 * @param device where to allocate
 * @param dtype element type
 * @param shape rank dimensions, each at least 1; may be null when rank is 0
 * @param rank 0 (a scalar) to MEZZO_MAX_RANK
 * @return MEZZO_STATUS_INVALID_ARGUMENT for a zero, negative or overflowing size,
 *         MEZZO_STATUS_OUT_OF_MEMORY with the bytes asked for
 */
MEZZO_API mezzo_status mezzo_tensor_create(mezzo_tensor *out_tensor, mezzo_device device, mezzo_dtype dtype,
                                           const int64_t *shape, int32_t rank);

/**
 * Creates a view: a tensor of another shape over a contiguous part of a tensor's elements.
 * Serves for reshapes (offset 0, same number of elements) and for slices of the leading dimension.
 *
 * @param[out] out_tensor handle, owned by the caller; keeps the storage of base alive
 * @param base tensor to view
 * @param offset first element of the view, counted in elements of base
 * @param shape rank dimensions, each at least 1; may be null when rank is 0
 * @param rank 0 to MEZZO_MAX_RANK
 */
MEZZO_API mezzo_status mezzo_tensor_view(mezzo_tensor *out_tensor, mezzo_tensor base, int64_t offset,
                                         const int64_t *shape, int32_t rank);

/**
 * Destroys a handle, and its storage unless a view still uses it.
 *
 * @param tensor handle to destroy; a null tensor is accepted and ignored
 */
MEZZO_API mezzo_status mezzo_tensor_destroy(mezzo_tensor tensor);

/**
 * Describes a tensor.
 *
 * @param[out] out_info filled
 * @param tensor tensor to describe
 */
MEZZO_API mezzo_status mezzo_tensor_describe(mezzo_tensor_info *out_info, mezzo_tensor tensor);

/**
 * Copies from host memory into a tensor. The data may be reused as soon as the call has returned.
 *
 * @param[out] out_tensor tensor to fill
 * @param data elements in row-major order, in the tensor's dtype
 * @param bytes size of data, exactly the tensor's bytes
 */
MEZZO_API mezzo_status mezzo_tensor_write(mezzo_tensor out_tensor, const void *data, int64_t bytes);

/**
 * Copies a tensor into host memory. Waits for the work that writes the tensor.
 *
 * @param[out] out_data elements in row-major order, in the tensor's dtype
 * @param tensor tensor to read
 * @param bytes size of out_data, exactly the tensor's bytes
 */
MEZZO_API mezzo_status mezzo_tensor_read(void *out_data, mezzo_tensor tensor, int64_t bytes);

/**
 * Copies a tensor's elements into another of the same dtype and number of elements, on any device.
 * For another dtype see mezzo_cast_forward().
 *
 * @param[out] out_tensor tensor to fill
 * @param tensor tensor to copy; may be out_tensor itself
 */
MEZZO_API mezzo_status mezzo_tensor_copy(mezzo_tensor out_tensor, mezzo_tensor tensor);

/* ---------------------------------------------------------------------------------------------
 * Copies in host memory
 *
 * What a tensor holds, kept in host memory while the tensor itself is destroyed to make room, and copied back into
 * another one later. On CUDA the host memory is pinned and the copying goes on beside the work that is issued
 * meanwhile; on the CPU it is an ordinary copy. Three calls, in this order, for the round trip:
 *
 *     mezzo_host_copy_create(&copy, tensor);    // begins to copy, after the work issued before
 *     mezzo_host_copy_wait(copy);               // work issued from here on comes after the copying
 *     mezzo_tensor_destroy(tensor);
 *     mezzo_host_copy_restore(other, copy);     // begins to copy back, after the work issued before
 *     mezzo_host_copy_wait(copy);               // work issued from here on finds the elements
 *
 * Between create and wait the tensor may be read but neither written nor destroyed, between restore and wait the other
 * one must be left alone, and no graph be launched that makes the copy anew. mezzo_host_copy_wait() lets the device
 * wait, not the caller. All of it can be captured: a replay copies anew, and a copy that was made in the capture holds
 * the elements of the latest launch. Copies that were begun before a capture have finished when it begins, and may be
 * waited for and restored in it.
 * ------------------------------------------------------------------------------------------- */

/** An opaque handle of a copy in host memory, passed by value. id 0 is the null copy. */
typedef struct mezzo_host_copy_handle {
    uint64_t id; /**< slot and generation; of no meaning to the caller */
} mezzo_host_copy;

/**
 * Begins to copy a tensor's elements into host memory of their own.
 *
 * @param[out] out_copy handle, owned by the caller
 * @param tensor tensor to copy, of any dtype and device
 * @return MEZZO_STATUS_OUT_OF_MEMORY with the bytes asked for when the host has not so much memory to be pinned
 */
MEZZO_API mezzo_status mezzo_host_copy_create(mezzo_host_copy *out_copy, mezzo_tensor tensor);

/**
 * Orders the work that is issued to the device from now on after the copying that was begun last, to or from the host.
 *
 * @param copy copy to wait for
 */
MEZZO_API mezzo_status mezzo_host_copy_wait(mezzo_host_copy copy);

/**
 * Begins to copy the elements back. May be called any number of times.
 *
 * @param[out] out_tensor tensor to fill, of the device, dtype and number of elements of the one that was copied
 * @param copy copy to read
 */
MEZZO_API mezzo_status mezzo_host_copy_restore(mezzo_tensor out_tensor, mezzo_host_copy copy);

/**
 * Destroys a copy. The caller waits for copying that mezzo_host_copy_wait() has not ordered yet. The host memory is
 * kept for the next copies; a graph that has captured it keeps it for its own life.
 *
 * @param copy copy to destroy; a null copy is accepted and ignored
 */
MEZZO_API mezzo_status mezzo_host_copy_destroy(mezzo_host_copy copy);

/* ---------------------------------------------------------------------------------------------
 * Graphs
 *
 * A step of training issues the same ops again and again. Captured once as a graph and launched, it costs one
 * call: on CUDA one CUDA graph, on the CPU the same list of kernels without checks and look-ups.
 *
 * Between mezzo_graph_capture_begin() and mezzo_graph_capture_end() the ops that the calling thread issues to
 * the device are recorded, not run. Tensors are recorded by their memory: a launch reads what the tensors
 * from outside of the capture hold then, and numbers passed by value, such as a learning rate, stay what they were.
 * - Tensors created during the capture live in memory of the graph's own. They may be destroyed during the
 *   capture; those that are kept hold the results of the latest launch.
 * - Tensors from outside are kept alive by the graph, whoever destroys their handles.
 * - What cannot be recorded answers MEZZO_STATUS_CAPTURE_INVALID and leaves the capture as it was: reading and
 *   writing tensors from the host, copies between devices, synchronisation, a second capture. So does every
 *   op that another thread issues to the device meanwhile. Tensors that a failed call has named are kept with the
 *   others, and count in the signature.
 * - Random ops draw the same numbers in each launch.
 * ------------------------------------------------------------------------------------------- */

/** An opaque graph handle, passed by value. id 0 is the null graph. */
typedef struct mezzo_graph_handle {
    uint64_t id; /**< slot and generation; of no meaning to the caller */
} mezzo_graph;

/** What a graph is. */
typedef struct mezzo_graph_info {
    mezzo_device device;  /**< what it runs on */
    int64_t ops;          /**< number of ops captured, those on copies in host memory included */
    int64_t memory_bytes; /**< memory of its own, from the beginning of its addresses to the farthest end of a tensor */
    uint64_t signature;   /**< equal for two captures of the same ops on the same tensors from outside */
} mezzo_graph_info;

/**
 * Says that the calling thread goes on to run, op by op, what it will capture next: the capture lays its tensors out by
 * what is allocated and freed from here to mezzo_graph_capture_begin(), and takes hardly more memory than lives at
 * once. Without it, or if the capture turns out to be of other sizes, it may take some percent more. The call made last
 * counts.
 *
 * @param device device to be captured; MEZZO_STATUS_CAPTURE_INVALID when a capture of it is under way
 */
MEZZO_API mezzo_status mezzo_graph_rehearse(mezzo_device device);

/**
 * Starts to capture the calling thread's ops on a device.
 *
 * @param device device to capture; MEZZO_STATUS_CAPTURE_INVALID when a capture of it is under way
 */
MEZZO_API mezzo_status mezzo_graph_capture_begin(mezzo_device device);

/**
 * Ends the capture. After a failure the capture is over, too, and what it recorded is dropped.
 *
 * @param[out] out_graph handle, owned by the caller
 * @param device device being captured; MEZZO_STATUS_CAPTURE_INVALID unless by this thread
 */
MEZZO_API mezzo_status mezzo_graph_capture_end(mezzo_graph *out_graph, mezzo_device device);

/**
 * Ends the capture and drops what it recorded; for use after a failed op. Does nothing when there is none.
 *
 * @param device device being captured; MEZZO_STATUS_CAPTURE_INVALID when by another thread
 */
MEZZO_API mezzo_status mezzo_graph_capture_abort(mezzo_device device);

/**
 * Runs the captured ops, after the work issued before. On CUDA it returns once they are issued.
 *
 * @param graph graph to run
 */
MEZZO_API mezzo_status mezzo_graph_launch(mezzo_graph graph);

/**
 * Describes a graph.
 *
 * @param[out] out_info filled
 * @param graph graph to describe
 */
MEZZO_API mezzo_status mezzo_graph_describe(mezzo_graph_info *out_info, mezzo_graph graph);

/**
 * Destroys a graph. Its memory goes back to the system once tensors no longer use it.
 *
 * @param graph graph to destroy; a null graph is accepted and ignored
 */
MEZZO_API mezzo_status mezzo_graph_destroy(mezzo_graph graph);

#ifdef __cplusplus
}
#endif

#endif /* MEZZO_MEZZO_H */
