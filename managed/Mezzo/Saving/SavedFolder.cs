// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace Mezzo;

/// <summary>A file of a saved state, and what writes it.</summary>
internal readonly record struct SavedFile(string Name, Action<Stream> Write);

/// <summary>
/// A folder of saved states, each of them a folder of files, named by the order in which they were saved:
/// <c>0003-step-00000120</c>.
/// </summary>
/// <remarks>
/// A state is written under another name and gets its own in one rename, once all of its files are on the disk: a run that is
/// killed at any byte leaves the states that were there. SHA-256 sums of all files tell what the disk has lost since.
/// </remarks>
internal sealed partial class SavedFolder(Disk disk, string folder)
{
    /// <summary>Sums of all other files, in the form that <c>sha256sum -c</c> reads.</summary>
    public const string SumsFile = "SHA256SUMS";

    private const string Unfinished = ".unfinished-";
    private const int MaxSumsBytes = 1 << 16;

    /// <summary>The saved states, the latest first.</summary>
    public IReadOnlyList<string> List() => disk.HasFolder(folder)
        ? [.. Numbered().OrderByDescending(state => state.Number).ThenByDescending(state => state.Name, StringComparer.Ordinal).Select(state => Path.Combine(folder, state.Name))]
        : [];

    /// <summary>Writes a state and deletes old ones.</summary>
    /// <param name="step">For its name.</param>
    /// <param name="keep">Number of states to keep, this one included.</param>
    /// <param name="files">Its files.</param>
    /// <returns>Its path.</returns>
    /// <exception cref="IOException">It cannot be written; the states that were there are still there.</exception>
    public string Write(long step, int keep, IReadOnlyList<SavedFile> files)
    {
        CreateFolder(folder);
        foreach (string left in disk.Folders(folder).Where(name => name.StartsWith(Unfinished, StringComparison.Ordinal)))
        {
            TryDelete(Path.Combine(folder, left)); // by a run that was killed
        }

        string unfinished = Path.Combine(folder, $"{Unfinished}{Guid.NewGuid():N}");
        string state;
        try
        {
            disk.CreateFolder(unfinished);
            WriteFiles(unfinished, files);
            long number = Numbered().Select(state => state.Number).DefaultIfEmpty().Max() + 1;
            state = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{number:d4}-step-{step:d8}"));
            disk.Move(unfinished, state);
        }
        catch
        {
            TryDelete(unfinished);
            throw;
        }

        disk.SyncFolder(folder);
        DeleteAllBut(keep);
        return state;
    }

    /// <summary>Whether a folder is a saved state, and not one of them.</summary>
    public static bool IsState(Disk disk, string folder) => disk.HasFile(Path.Combine(folder, SumsFile));

    /// <summary>Checks that a state has the files that it should have, with the bytes that were written.</summary>
    /// <param name="disk">Where it is.</param>
    /// <param name="state">Its folder.</param>
    /// <param name="names">Names of its files.</param>
    /// <exception cref="SavedFileException">It has not.</exception>
    public static void Verify(Disk disk, string state, IReadOnlyList<string> names)
    {
        var sums = ReadSums(disk, Path.Combine(state, SumsFile), names);
        foreach (string name in names)
        {
            string file = Path.Combine(state, name);
            if (!disk.HasFile(file))
            {
                throw new SavedFileException(file, "is missing");
            }

            using var stream = disk.Open(file);
            if (Convert.ToHexStringLower(SHA256.HashData(stream)) != sums[name])
            {
                throw new SavedFileException(file, $"has not the SHA-256 sum that {SumsFile} gives: it is truncated or corrupt");
            }
        }
    }

    /// <summary>Deletes old states: durably renamed first, so that a state is there as a whole, or not at all.</summary>
    private void DeleteAllBut(int keep)
    {
        var leaving = List().Skip(keep).Select(old => (Old: old, Name: Path.Combine(folder, $"{Unfinished}{Guid.NewGuid():N}"))).ToList();
        if (leaving.Count > 0)
        {
            leaving.ForEach(state => disk.Move(state.Old, state.Name));
            disk.SyncFolder(folder);
            leaving.ForEach(state => TryDelete(state.Name));
        }
    }

    private static Dictionary<string, string> ReadSums(Disk disk, string file, IReadOnlyList<string> names)
    {
        using var stream = disk.HasFile(file) ? disk.Open(file) : throw new SavedFileException(file, "is missing");
        if (stream.Length > MaxSumsBytes)
        {
            throw new SavedFileException(file, $"has {stream.Length} bytes, expected at most {MaxSumsBytes}");
        }

        using var reader = new StreamReader(stream, Encoding.Latin1);
        var sums = new Dictionary<string, string>();
        string[] lines = reader.ReadToEnd().Split('\n');
        bool isWhole = lines[^1].Length == 0 && Array.TrueForAll(
            lines[..^1], line => LinePattern().Match(line) is { Success: true, Groups: var parts } && sums.TryAdd(parts[2].Value, parts[1].Value));
        return isWhole && sums.Keys.ToHashSet().SetEquals(names)
            ? sums
            : throw new SavedFileException(file, $"is not a line with the SHA-256 sum for each of {string.Join(", ", names)}");
    }

    private static string Line(string sum, string name) => $"{sum}  {name}\n";

    private void WriteFiles(string unfinished, IReadOnlyList<SavedFile> files)
    {
        var sums = new StringBuilder();
        foreach (var file in files)
        {
            using var sha = SHA256.Create();
            WriteFile(unfinished, file.Name, stream =>
            {
                using var summed = new CryptoStream(stream, sha, CryptoStreamMode.Write, leaveOpen: true);
                file.Write(summed);
            });
            sums.Append(Line(Convert.ToHexStringLower(sha.Hash!), file.Name));
        }

        WriteFile(unfinished, SumsFile, stream => stream.Write(Encoding.Latin1.GetBytes(sums.ToString())));
        disk.SyncFolder(unfinished);
    }

    private void WriteFile(string unfinished, string name, Action<Stream> write)
    {
        using var stream = disk.Create(Path.Combine(unfinished, name));
        write(stream);
        disk.Sync(stream);
    }

    /// <summary>Creates a folder and those that it is in, each of them durably.</summary>
    private void CreateFolder(string path)
    {
        if (disk.HasFolder(path))
        {
            return;
        }

        string parent = Path.GetDirectoryName(path) ?? path;
        CreateFolder(parent);
        disk.CreateFolder(path);
        disk.SyncFolder(parent);
    }

    private IEnumerable<(string Name, long Number)> Numbered() =>
        from name in disk.Folders(folder)
        let match = NamePattern().Match(name)
        where match.Success
        select (name, long.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture));

    private void TryDelete(string path)
    {
        try
        {
            disk.DeleteFolder(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // It is no saved state, and the next save tries again.
        }
    }

    [GeneratedRegex("^([0-9]{4,18})-step-[0-9]{8,19}$")]
    private static partial Regex NamePattern();

    [GeneratedRegex("^([0-9a-f]{64})  (.+)$")]
    private static partial Regex LinePattern();
}
