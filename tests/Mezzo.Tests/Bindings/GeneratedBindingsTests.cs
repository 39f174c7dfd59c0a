// SPDX-License-Identifier: MIT
using System.Reflection;
using System.Runtime.InteropServices;
using Mezzo.Bindings.Generator;
using Mezzo.Native;

namespace Mezzo.Tests.Bindings;

public sealed class GeneratedBindingsTests
{
    [Test]
    public void Committed_Bindings_AreWhatTheHeadersGive()
    {
        SourceTree tree = BindingsEnvironment.Sources();

        IReadOnlyList<string> differences = tree.Differences(tree.Generate());

        Assert.That(differences, Is.Empty, "Run: dotnet run --project bindings/generator");
    }

    [Test]
    public void Differences_OfEditedBindings_NameTheFileAndTheLine()
    {
        SourceTree tree = BindingsEnvironment.Sources();
        var files = new Dictionary<string, string>(tree.Generate());
        files["Constants.g.cs"] = files["Constants.g.cs"].Replace("Rank = ", "Rank = 1", StringComparison.Ordinal);
        files["Extra.g.cs"] = "";
        files.Remove("Enums.g.cs");

        string differences = string.Join('\n', tree.Differences(files));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(differences, Does.Match("Constants.g.cs:\\d+: committed .*MaxRank = 8;.*MaxRank = 18;"));
            Assert.That(differences, Does.Contain("Extra.g.cs: missing"));
            Assert.That(differences, Does.Contain("Enums.g.cs: nothing generates it any more"));
        }
    }

    [Test]
    public void Every_Import_IsExportedByTheLibrary()
    {
        nint library = NativeLibrary.Load(NativeLibraryLoader.LoadedPath);
        IEnumerable<string> imports = typeof(NativeMethods)
            .GetMethods(BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
            .Select(method => method.Name)
            .Where(name => name.StartsWith("mezzo_", StringComparison.Ordinal));

        string[] missing = imports.Where(name => !NativeLibrary.TryGetExport(library, name, out _)).ToArray();

        Assert.That(missing, Is.Empty);
    }
}
