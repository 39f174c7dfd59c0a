// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// The file system as saving uses it: what is durable when. Tests put one in its place that is cut off at any byte, or loses
/// what was not synchronised.
/// </summary>
internal abstract class Disk
{
    /// <summary>That of this machine.</summary>
    public static Disk Physical { get; } = new PhysicalDisk();

    /// <summary>Full path of the file that a name, or a link of that name, stands for.</summary>
    /// <exception cref="IOException">It is a device, which no file may take the place of.</exception>
    public abstract string Resolve(string file);

    /// <summary>Opens a new file, which must not be there, for writing.</summary>
    public abstract Stream Create(string file);

    /// <summary>Waits until what was written to a file is on the disk.</summary>
    public abstract void Sync(Stream file);

    /// <summary>Opens a file for reading.</summary>
    /// <exception cref="IOException">It is not there, or is a folder.</exception>
    public abstract Stream Open(string file);

    /// <summary>Renames a file, replacing one of that name, or a folder, whose new name must not be taken.</summary>
    public abstract void Move(string from, string to);

    /// <summary>Deletes a file.</summary>
    public abstract void Delete(string file);

    /// <summary>Whether there is a file of that name.</summary>
    public abstract bool HasFile(string file);

    /// <summary>Whether there is a folder of that name.</summary>
    public abstract bool HasFolder(string folder);

    /// <summary>Names of the folders in a folder.</summary>
    public abstract IReadOnlyList<string> Folders(string folder);

    /// <summary>Creates a folder in one that is there.</summary>
    public abstract void CreateFolder(string folder);

    /// <summary>Waits until what was created, renamed and deleted in a folder is on the disk.</summary>
    public abstract void SyncFolder(string folder);

    /// <summary>Deletes a folder with all that is in it.</summary>
    public abstract void DeleteFolder(string folder);

    private sealed class PhysicalDisk : Disk
    {
        public override string Resolve(string file)
        {
            string full = Path.GetFullPath(file);
            string target = HasFile(full) ? File.ResolveLinkTarget(full, returnFinalTarget: true)?.FullName ?? full : full;
            return Path.GetDirectoryName(target) == "/dev" ? throw new IOException($"'{file}' is a device, expected a file.") : target;
        }

        public override Stream Create(string file) => new FileStream(file, FileMode.CreateNew, FileAccess.Write, FileShare.None);

        public override void Sync(Stream file) => ((FileStream)file).Flush(flushToDisk: true);

        public override Stream Open(string file) => HasFolder(file)
            ? throw new IOException($"'{file}' is a folder, expected a file.")
            : new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read);

        public override void Move(string from, string to)
        {
            if (HasFolder(from))
            {
                Directory.Move(from, to);
            }
            else
            {
                File.Move(from, to, overwrite: true);
            }
        }

        public override void Delete(string file) => File.Delete(file);

        public override bool HasFile(string file) => File.Exists(file);

        public override bool HasFolder(string folder) => Directory.Exists(folder);

        public override IReadOnlyList<string> Folders(string folder) => [.. Directory.EnumerateDirectories(folder).Select(path => Path.GetFileName(path))];

        public override void CreateFolder(string folder) => Directory.CreateDirectory(folder);

        public override void SyncFolder(string folder) => FolderSync.Flush(folder);

        public override void DeleteFolder(string folder) => Directory.Delete(folder, recursive: true);
    }
}
