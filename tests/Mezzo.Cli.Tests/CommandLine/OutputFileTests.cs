// SPDX-License-Identifier: MIT
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Tests.CommandLine;

public sealed class OutputFileTests
{
    [TestCase("--out", "file/report")]
    [TestCase("--json", "file/result.json")]
    [TestCase("--json", "folder")]
    [TestCase("--save", "file")]
    [TestCase("--save", "file/run")]
    public void UnwritablePath_IsRefusedBeforeTraining(string option, string path)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("file"), "");
        Directory.CreateDirectory(folder.File("folder"));

        var outcome = CommandRunner.Run(option == "--out"
            ? ["train", "sincos", option, folder.File(path)]
            : ["train", "sincos", "--out", folder.File("report"), option, folder.File(path)]);

        // A run at the default size would take many seconds; it never began, or it would have written a line.
        Assert.Multiple(() =>
        {
            Assert.That(outcome.ExitCode, Is.Not.Zero);
            Assert.That(outcome.Output, Is.Empty);
            Assert.That(outcome.ErrorLines, Has.Length.EqualTo(1));
            Assert.That(outcome.Error, Does.StartWith($"{option}: cannot write {folder.File(path)}"));
        });
    }

    [Test]
    public void Prepare_LeavesAFileAsItIs_AndNoNewOneBehind()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("old"), "kept");

        OutputFile.Prepare("--out", folder.File("old"));
        OutputFile.Prepare("--out", folder.File("sub/new"));

        Assert.Multiple(() =>
        {
            Assert.That(File.ReadAllText(folder.File("old")), Is.EqualTo("kept"));
            Assert.That(File.Exists(folder.File("sub/new")), Is.False);
        });
    }
}
