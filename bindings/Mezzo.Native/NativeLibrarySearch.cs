// SPDX-License-Identifier: MIT
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Mezzo.Native;

/// <summary>
/// Where the native library is looked for. A file that exists but cannot be used ends the search: going on
/// would run another library than the one that lies there.
/// </summary>
/// <param name="Override">Full path that overrides the search, null or empty for none.</param>
/// <param name="Folders">Folders to look into, in this order; the system's loader comes after them.</param>
/// <param name="FileName">The library's file name.</param>
internal sealed record NativeLibrarySearch(string? Override, IReadOnlyList<string> Folders, string FileName)
{
    /// <summary>Environment variable with the full path of the library to use.</summary>
    public const string OverrideVariable = "MEZZO_LIBRARY";

    private static string PlatformFileName =>
        OperatingSystem.IsWindows() ? "mezzo.dll" : OperatingSystem.IsMacOS() ? "libmezzo.dylib" : "libmezzo.so";

    private static string RuntimeIdentifier
    {
        get
        {
            string system = OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : "linux";
            return $"{system}-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
        }
    }

    /// <summary>The search of this process: beside the program, then beside this assembly.</summary>
    public static NativeLibrarySearch ForThisProcess()
    {
        IEnumerable<string> folders = new[] { AppContext.BaseDirectory, AssemblyFolder() }
            .Where(folder => folder.Length > 0)
            .Select(Path.TrimEndingDirectorySeparator)
            .Distinct()
            .SelectMany(folder => new[] { folder, Path.Combine(folder, "runtimes", RuntimeIdentifier, "native") });
        string? path = Environment.GetEnvironmentVariable(OverrideVariable);
        return new NativeLibrarySearch(path, folders.ToList(), PlatformFileName);
    }

    /// <summary>Loads the first library found and checks its ABI.</summary>
    /// <exception cref="DllNotFoundException">None can be used; the message names each path and why.</exception>
    public LoadedLibrary Load()
    {
        var tried = new List<string>();
        foreach (string path in Candidates())
        {
            if (Path.IsPathRooted(path) && !File.Exists(path))
            {
                tried.Add($"{path}: no such file");
                continue;
            }

            if (Open(path, out nint handle) is not { } reason)
            {
                return new LoadedLibrary(handle, path);
            }

            tried.Add($"{path}: {reason}");
            break;
        }

        throw new DllNotFoundException(Failure(tried));
    }

    private IEnumerable<string> Candidates() => string.IsNullOrEmpty(Override)
        ? Folders.Select(folder => Path.Combine(folder, FileName)).Append(FileName)
        : [Override];

    private string Failure(List<string> tried) => string.IsNullOrEmpty(Override)
        ? $"The native library of Mezzo cannot be loaded. Tried:\n  {string.Join("\n  ", tried)}\n"
            + $"Set {OverrideVariable} to the full path of {FileName} to use one that lies elsewhere."
        : $"The native library that {OverrideVariable} names cannot be loaded: {tried[0]}";

    private string? Open(string path, out nint handle)
    {
        handle = 0;
        if (!Path.IsPathRooted(path) && !string.IsNullOrEmpty(Override))
        {
            return "not a full path";
        }

        try
        {
            handle = NativeLibrary.Load(path);
        }
        catch (Exception exception) when (exception is DllNotFoundException or BadImageFormatException)
        {
            // The runtime puts advice before the system's own reason, which stands on the last line.
            string reason = exception.Message.TrimEnd().Split('\n')[^1].Trim();
            return (Path.IsPathRooted(path) ? "cannot be loaded: " : "not found by the system's loader: ") + reason;
        }

        if (NativeLibraryCheck.Refusal(handle) is not { } refusal)
        {
            return null;
        }

        NativeLibrary.Free(handle);
        handle = 0;
        return refusal;
    }

    [UnconditionalSuppressMessage(
        "SingleFile", "IL3000", Justification = "Empty in a single file, which the program's folder covers.")]
    private static string AssemblyFolder() =>
        Path.GetDirectoryName(typeof(NativeLibrarySearch).Assembly.Location) ?? "";
}
