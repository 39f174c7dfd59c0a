// SPDX-License-Identifier: MIT
// Generates bindings/Mezzo.Native/Generated from the public headers; with --check only compares.
using Mezzo.Bindings.Generator;

const string Command = "dotnet run --project bindings/generator";

bool check = args is ["--check"];
if (args.Length > 0 && !check)
{
    Console.Error.WriteLine($"Unknown arguments: {string.Join(' ', args)}. Usage: {Command} -- [--check]");
    return 2;
}

try
{
    SourceTree tree = SourceTree.Around(Directory.GetCurrentDirectory());
    IReadOnlyDictionary<string, string> files = tree.Generate();
    IReadOnlyList<string> differences = tree.Differences(files);
    if (!check)
    {
        tree.Write(files);
        Console.WriteLine($"{files.Count} files generated, {differences.Count} changed.");
        return 0;
    }

    foreach (string difference in differences)
    {
        Console.Error.WriteLine(difference);
    }

    Console.WriteLine(differences.Count == 0
        ? $"{files.Count} generated files are up to date."
        : $"{differences.Count} of the generated files differ. Run: {Command}");
    return differences.Count == 0 ? 0 : 1;
}
catch (GeneratorException exception)
{
    Console.Error.WriteLine(exception.Message);
    return 1;
}
