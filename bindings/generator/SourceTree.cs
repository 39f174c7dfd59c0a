// SPDX-License-Identifier: MIT
using Mezzo.Bindings.Generator.Emitting;
using Mezzo.Bindings.Generator.Model;
using Mezzo.Bindings.Generator.Parsing;

namespace Mezzo.Bindings.Generator;

/// <summary>A source tree: public headers, and the generated files that bind them.</summary>
internal sealed class SourceTree(string root)
{
    private const string IncludeFolder = "native/include";
    private const string HeaderFolder = IncludeFolder + "/mezzo";
    private const string OutputFolder = "bindings/Mezzo.Native/Generated";

    private readonly List<string> _headers = FileNames(Path.Combine(root, HeaderFolder), "*.h").ToList();

    private readonly string _output = Path.Combine(root, OutputFolder);

    /// <summary>The tree that a folder belongs to: the nearest one at or above it that holds the headers.</summary>
    public static SourceTree Around(string folder)
    {
        for (DirectoryInfo? candidate = new(folder); candidate is not null; candidate = candidate.Parent)
        {
            if (Directory.Exists(Path.Combine(candidate.FullName, HeaderFolder)))
            {
                return new SourceTree(candidate.FullName);
            }
        }

        throw new GeneratorException($"Neither {folder} nor a folder above it holds {HeaderFolder}.");
    }

    /// <summary>What the headers declare.</summary>
    public Header Read()
    {
        string text = string.Concat(_headers.Select(name => File.ReadAllText(Path.Combine(root, HeaderFolder, name))));
        AstNode tree = Clang.Parse(root, IncludeFolder, _headers.Select(name => "mezzo/" + name));
        Header header = HeaderReader.Read(tree, HeaderFolder, HeaderText.Constants(text).ToList());
        HeaderText.ExpectCounts(text, header);
        return header;
    }

    /// <summary>The files that bind the headers, by name.</summary>
    public IReadOnlyDictionary<string, string> Generate() =>
        Emitter.Emit(Read(), _headers.Select(name => $"{HeaderFolder}/{name}").ToList());

    /// <summary>Writes the files and deletes generated ones that no longer exist.</summary>
    public void Write(IReadOnlyDictionary<string, string> files)
    {
        Directory.CreateDirectory(_output);
        foreach (string stale in Committed().Where(name => !files.ContainsKey(name)))
        {
            File.Delete(Path.Combine(_output, stale));
        }

        foreach ((string name, string text) in files)
        {
            File.WriteAllText(Path.Combine(_output, name), text);
        }
    }

    /// <summary>One line for each file that differs from the committed one; empty when all agree.</summary>
    public IReadOnlyList<string> Differences(IReadOnlyDictionary<string, string> files)
    {
        IEnumerable<string> stale = Committed()
            .Where(name => !files.ContainsKey(name))
            .Select(name => $"{OutputFolder}/{name}: nothing generates it any more");
        IEnumerable<string> changed = files
            .Select(file => (file.Key, Reason: Difference(Path.Combine(_output, file.Key), file.Value)))
            .Where(file => file.Reason is not null)
            .Select(file => $"{OutputFolder}/{file.Key}{file.Reason}");
        return stale.Concat(changed).ToList();
    }

    private static string? Difference(string path, string generated)
    {
        if (!File.Exists(path))
        {
            return ": missing";
        }

        string committed = File.ReadAllText(path);
        if (committed == generated)
        {
            return null;
        }

        string[] old = committed.Split('\n');
        string[] now = generated.Split('\n');
        int line = old.Zip(now).TakeWhile(pair => pair.First == pair.Second).Count();
        return $":{line + 1}: committed \"{LineOf(old, line)}\", generated \"{LineOf(now, line)}\"";
    }

    private static string LineOf(string[] lines, int index) => index < lines.Length ? lines[index].Trim() : "";

    private IEnumerable<string> Committed() =>
        Directory.Exists(_output) ? FileNames(_output, "*.g.cs") : [];

    private static IEnumerable<string> FileNames(string folder, string pattern) => Directory
        .EnumerateFiles(folder, pattern)
        .Select(path => Path.GetFileName(path))
        .Order(StringComparer.Ordinal);
}
