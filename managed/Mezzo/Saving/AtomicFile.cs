// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Replaces a file as a whole.</summary>
internal static class AtomicFile
{
    /// <summary>Writes a file under another name, waits until it is on the disk, and gives it its name.</summary>
    /// <exception cref="IOException">It cannot be written; what was there is still there.</exception>
    public static void Write(Disk disk, string path, Action<Stream> write)
    {
        string file = disk.Resolve(path);
        string folder = Path.GetDirectoryName(file) ?? file;
        if (disk.HasFolder(file))
        {
            throw new IOException($"'{path}' is a folder, expected a file.");
        }

        string written = Path.Combine(folder, $".{Path.GetFileName(file)}.tmp-{Guid.NewGuid():N}");
        try
        {
            using (var stream = disk.Create(written))
            {
                write(stream);
                disk.Sync(stream);
            }

            disk.Move(written, file);
        }
        catch
        {
            TryDelete(disk, written);
            throw;
        }

        disk.SyncFolder(folder);
    }

    private static void TryDelete(Disk disk, string file)
    {
        try
        {
            disk.Delete(file);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // What made the writing fail is what the caller wants to know.
        }
    }
}
