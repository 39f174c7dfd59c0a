// SPDX-License-Identifier: MIT
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Mezzo.Native;

/// <summary>Gives the imports of this assembly the one native library of the process.</summary>
internal static class NativeLibraryLoader
{
    private static readonly Lazy<LoadedLibrary> Library = new(() => NativeLibrarySearch.ForThisProcess().Load());

    /// <summary>The file that the library was loaded from; loads it if no call has yet.</summary>
    /// <exception cref="DllNotFoundException">There is none; the message says what was tried.</exception>
    public static string LoadedPath => Library.Value.Path;

#pragma warning disable CA2255 // A resolver has to be in place before the first import, whoever calls it.
    [ModuleInitializer]
#pragma warning restore CA2255
    internal static void Register() =>
        NativeLibrary.SetDllImportResolver(typeof(NativeLibraryLoader).Assembly, Resolve);

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath) =>
        name == NativeMethods.LibraryName ? Library.Value.Handle : 0;
}

/// <summary>A library that has passed the ABI check.</summary>
internal readonly record struct LoadedLibrary(nint Handle, string Path);
