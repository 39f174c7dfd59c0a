// SPDX-License-Identifier: MIT
using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Mezzo.Native;

/// <summary>Makes the entries of a folder durable, for which .NET has no call: it does not open folders.</summary>
internal static partial class FolderSync
{
    private const int ReadOnly = 0; // on every Unix

    /// <summary>Waits until what was created, renamed and deleted in a folder is on the disk. Windows journals that by itself.</summary>
    /// <exception cref="IOException">The folder cannot be opened, or the disk has failed.</exception>
    public static void Flush(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        int descriptor = Open(folder, ReadOnly);
        if (descriptor < 0)
        {
            throw new IOException($"The folder '{folder}' cannot be opened: {new Win32Exception(Marshal.GetLastPInvokeError()).Message}.");
        }

        using var handle = new SafeFileHandle(descriptor, ownsHandle: true);
        RandomAccess.FlushToDisk(handle);
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);
}
