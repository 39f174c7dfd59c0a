// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Saving;

/// <summary>What becomes of a simulated disk when it fails.</summary>
public enum Failure
{
    /// <summary>The process is killed: whatever reached the file system stays.</summary>
    Kill,

    /// <summary>The power fails: what was not synchronised is gone.</summary>
    PowerCut,

    /// <summary>The power fails: of what was not synchronised, some is gone, and some of the rest is garbage.</summary>
    PowerCutAtRandom,
}

/// <summary>Ends a simulated process.</summary>
internal sealed class ProcessEnded() : Exception("The simulated process has ended.");

/// <summary>
/// A file system in memory that ends the process after so many bytes written and calls made, and knows what would be left of it
/// then.
/// </summary>
/// <param name="budget">Bytes and calls until the process ends.</param>
internal sealed class SimulatedDisk(long budget = long.MaxValue) : Disk
{
    private Folder _root = new();

    /// <summary>Bytes and calls so far.</summary>
    public long Spent { get; private set; }

    /// <summary>What fails instead of ending the process once the budget is spent; null for nothing.</summary>
    public Func<Exception>? Error { get; init; }

    /// <summary>The disk as the next process finds it.</summary>
    public SimulatedDisk After(Failure failure, Random random) => new() { _root = _root.After(failure, random) };

    /// <summary>Changes a byte of a file, as a bad disk does.</summary>
    public void Damage(string file, int index, byte mask) => FileAt(file).Bytes[index] ^= mask;

    /// <summary>The bytes of a file.</summary>
    public List<byte> BytesOf(string file) => FileAt(file).Bytes;

    public override string Resolve(string file) => file;

    public override Stream Create(string file)
    {
        Spend();
        var created = new File();
        if (!Parent(file).Current.TryAdd(Path.GetFileName(file), created))
        {
            throw new IOException($"'{file}' exists.");
        }

        return new Writer(this, created);
    }

    public override void Sync(Stream file)
    {
        Spend();
        ((Writer)file).File.Sync();
    }

    public override Stream Open(string file) => new MemoryStream([.. FileAt(file).Bytes], writable: false);

    public override void Move(string from, string to)
    {
        Spend();
        var (source, target) = (Parent(from).Current, Parent(to).Current);
        var moved = source[Path.GetFileName(from)];
        if (target.TryGetValue(Path.GetFileName(to), out var taken) && (moved is Folder || taken is Folder))
        {
            throw new IOException($"'{to}' exists.");
        }

        source.Remove(Path.GetFileName(from));
        target[Path.GetFileName(to)] = moved;
    }

    public override void Delete(string file)
    {
        Spend();
        Parent(file).Current.Remove(Path.GetFileName(file));
    }

    public override bool HasFile(string file) => Find(file) is File;

    public override bool HasFolder(string folder) => Find(folder) is Folder;

    public override IReadOnlyList<string> Folders(string folder) =>
        [.. ((Folder)Find(folder)!).Current.Where(entry => entry.Value is Folder).Select(entry => entry.Key)];

    public override void CreateFolder(string folder)
    {
        Spend();
        Parent(folder).Current.Add(Path.GetFileName(folder), new Folder());
    }

    public override void SyncFolder(string folder)
    {
        Spend();
        ((Folder)Find(folder)!).Sync();
    }

    public override void DeleteFolder(string folder)
    {
        var entries = ((Folder)(Find(folder) ?? throw new IOException($"There is no '{folder}'."))).Current;
        foreach (string name in entries.Keys.ToArray())
        {
            Spend();
            entries.Remove(name);
        }

        Delete(folder);
    }

    private static string[] Parts(string path) => path.Split('/', StringSplitOptions.RemoveEmptyEntries);

    private void Spend(long amount = 1)
    {
        Spent += amount;
        if (Spent > budget)
        {
            throw Error?.Invoke() ?? new ProcessEnded();
        }
    }

    private Entry? Find(string path)
    {
        Entry? entry = _root;
        foreach (string part in Parts(path))
        {
            entry = (entry as Folder)?.Current.GetValueOrDefault(part);
        }

        return entry;
    }

    private Folder Parent(string path) => Find(Path.GetDirectoryName(path)!) as Folder ?? throw new DirectoryNotFoundException($"There is no folder for '{path}'.");

    private File FileAt(string file) => Find(file) as File ?? throw new FileNotFoundException($"There is no file '{file}'.");

    private abstract class Entry
    {
        public abstract Entry After(Failure failure, Random random);
    }

    private sealed class File : Entry
    {
        private byte[] _synced = [];

        public List<byte> Bytes { get; private init; } = [];

        public void Sync() => _synced = [.. Bytes];

        public override File After(Failure failure, Random random)
        {
            byte[] left = failure switch
            {
                Failure.Kill => [.. Bytes],
                Failure.PowerCut => _synced,
                _ => [.. Bytes.Take(random.Next(_synced.Length, Bytes.Count + 1)).Select((value, i) => i >= _synced.Length && random.Next(2) == 0 ? (byte)0 : value)],
            };
            return new File { Bytes = [.. left], _synced = left };
        }
    }

    private sealed class Folder : Entry
    {
        private Dictionary<string, Entry> _synced = [];

        public Dictionary<string, Entry> Current { get; private init; } = [];

        public void Sync() => _synced = new(Current);

        public override Folder After(Failure failure, Random random)
        {
            var left = failure switch
            {
                Failure.Kill => Current,
                Failure.PowerCut => _synced,
                _ => Current.Keys.Union(_synced.Keys).Select(name => (name, (random.Next(2) == 0 ? Current : _synced).GetValueOrDefault(name)))
                    .Where(pair => pair.Item2 is not null).ToDictionary(pair => pair.name, pair => pair.Item2!),
            };
            var entries = left.ToDictionary(pair => pair.Key, pair => pair.Value.After(failure, random));
            return new Folder { Current = entries, _synced = new(entries) };
        }
    }

    /// <summary>Writes as many bytes as there is budget for.</summary>
    private sealed class Writer(SimulatedDisk disk, File file) : Stream
    {
        public File File => file;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            foreach (byte value in buffer)
            {
                disk.Spend();
                file.Bytes.Add(value);
            }
        }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
