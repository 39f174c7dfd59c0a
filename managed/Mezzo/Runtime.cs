// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>The native library that this process runs on.</summary>
public static class Runtime
{
    /// <summary>Version of the native library, "major.minor.patch".</summary>
    public static string Version => Calls.Version();

    /// <summary>Instruction sets that the CPU path uses here.</summary>
    public static string InstructionSets => Calls.CpuInstructionSets();

    /// <summary>Version of oneDNN, empty when the library was built without it.</summary>
    public static string OneDnnVersion => Calls.OnednnVersion();

    /// <summary>
    /// Number of threads of CPU ops. Results are bit-identical for the same number of threads.
    /// Starts at MEZZO_NUM_THREADS, or at the number of processors.
    /// </summary>
    /// <exception cref="MezzoException">Set to less than 1 or more than 1024.</exception>
    public static int Threads
    {
        get => Calls.ThreadsGet();
        set => Calls.ThreadsSet(value);
    }

    /// <summary>
    /// Whether layers may round the operands of f32 products to TF32, 10 bits of fraction, where a GPU's tensor cores are
    /// faster so; sums stay f32. A layer's backward pass does what its forward pass did. The CPU, f64 and 16-bit types
    /// take no notice. Starts as false, as <c>torch.backends.cuda.matmul.allow_tf32</c> does.
    /// </summary>
    public static bool AllowTf32 { get; set; }

    /// <summary>The file that the native library was loaded from.</summary>
    /// <exception cref="DllNotFoundException">It was not found; the message names every path tried.</exception>
    public static string NativeLibraryPath => NativeLibraryLoader.LoadedPath;
}
