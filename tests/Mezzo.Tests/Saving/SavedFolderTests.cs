// SPDX-License-Identifier: MIT
using System.Text;

namespace Mezzo.Tests.Saving;

/// <summary>Saved states as files: what is left of them after a crash at any byte.</summary>
internal sealed class SavedFolderTests
{
    private const string Root = "/runs/one";
    private static readonly string[] Names = ["a", "b"];

    [Test]
    public void State_GetsTheNextNumber_AndOldOnesAreDeleted()
    {
        var disk = new SimulatedDisk();
        var folder = new SavedFolder(disk, Root);
        Assert.That(folder.List(), Is.Empty);
        Assert.That(Save(disk, "first", step: 7), Is.EqualTo("/runs/one/0001-step-00000007"));
        Assert.That(Save(disk, "second", step: 3), Is.EqualTo("/runs/one/0002-step-00000003"), "a run that went back to an earlier step");
        Save(disk, "third", step: 3);
        Assert.That(folder.List(), Is.EqualTo(new[] { "/runs/one/0003-step-00000003", "/runs/one/0002-step-00000003" }));
        Assert.That(disk.Folders(Root), Has.Count.EqualTo(2));
    }

    [Test]
    public void ProcessThatEndsAtAnyByte_LeavesTheStatesThatWereThere([Values] Failure failure)
    {
        var random = new Random(5);
        long whole = Spent(out _);
        for (long spent = 0; spent < whole; spent++)
        {
            var disk = Disk(spent);
            Assert.That(() => Run(disk), Throws.TypeOf<ProcessEnded>());
            string[] done = [.. _done];
            var left = disk.After(failure, random);

            // A state whose Save has returned is there. The one that was being saved is there as a whole, or not at all.
            var states = new SavedFolder(left, Root).List();
            string[] texts = [.. states.Select(state => Read(left, state))];
            string? latest = done.LastOrDefault();
            string? next = Texts.ElementAtOrDefault(done.Length);
            Assert.That(texts.FirstOrDefault(), Is.EqualTo(latest).Or.EqualTo(next), $"after {spent} bytes and calls");
            Assert.That(texts, Is.SubsetOf(Texts));
            if (done.Length > 1)
            {
                Assert.That(texts, Has.Length.GreaterThanOrEqualTo(2), "the one before the latest is kept");
            }

            // And the next save works, and clears up.
            Save(left, "after", step: 9);
            Assert.That(Read(left, new SavedFolder(left, Root).List()[0]), Is.EqualTo("after"));
            Assert.That(left.Folders(Root), Has.All.Match("^[0-9]{4}-step-[0-9]{8}$"));
        }

        static SimulatedDisk Disk(long budget) => new(budget);
    }

    [Test]
    public void DiskThatIsFullAtAnyByte_IsAnError_AndLeavesTheStatesThatWereThere()
    {
        long whole = Spent(out _);
        for (long spent = 0; spent < whole; spent++)
        {
            var disk = new SimulatedDisk(spent) { Error = () => new IOException("No space left on device") };
            try
            {
                Run(disk);
            }
            catch (IOException exception) when (exception.Message == "No space left on device")
            {
            }

            var states = disk.HasFolder(Root) ? new SavedFolder(disk, Root).List() : [];
            Assert.That(states.Select(state => Read(disk, state)).FirstOrDefault(), Is.EqualTo(_done.LastOrDefault()).Or.EqualTo(Texts.ElementAtOrDefault(_done.Count)));
        }
    }

    [Test]
    public void AnyBitThatFlips_IsFound()
    {
        var disk = new SimulatedDisk();
        string state = Save(disk, "text", step: 1);
        foreach (string name in (string[])[.. Names, SavedFolder.SumsFile])
        {
            string file = Path.Combine(state, name);
            for (int bit = 0; bit < disk.BytesOf(file).Count * 8; bit++)
            {
                disk.Damage(file, bit / 8, (byte)(1 << (bit % 8)));
                Assert.That(() => SavedFolder.Verify(disk, state, Names), Throws.TypeOf<SavedFileException>(), $"{name}, bit {bit}");
                disk.Damage(file, bit / 8, (byte)(1 << (bit % 8)));
            }
        }

        SavedFolder.Verify(disk, state, Names);
    }

    [Test]
    public void FileThatIsTruncatedOrMissing_IsNamed()
    {
        foreach (string name in (string[])[.. Names, SavedFolder.SumsFile])
        {
            var disk = new SimulatedDisk();
            string state = Save(disk, "text", step: 1);
            string file = Path.Combine(state, name);
            for (int length = disk.BytesOf(file).Count - 1; length >= 0; length--)
            {
                disk.BytesOf(file).RemoveAt(length);
                Assert.That(Refused(), Does.StartWith(file), $"{name}, {length} bytes");
            }

            disk.Delete(file);
            Assert.That(Refused(), Is.EqualTo($"{file}: is missing"));

            string Refused() => Assert.Throws<SavedFileException>(() => SavedFolder.Verify(disk, state, Names))!.Message;
        }
    }

    [TestCase("")]
    [TestCase("0000000000000000000000000000000000000000000000000000000000000000  a\n")]
    [TestCase("0000000000000000000000000000000000000000000000000000000000000000  a\n0000000000000000000000000000000000000000000000000000000000000000  a\n")]
    [TestCase("0000000000000000000000000000000000000000000000000000000000000000  a\n0000000000000000000000000000000000000000000000000000000000000000  ../b\n")]
    [TestCase("0000000000000000000000000000000000000000000000000000000000000000  a\n0000000000000000000000000000000000000000000000000000000000000000  b\nx\n")]
    public void SumsOfOtherFiles_AreRefused(string sums)
    {
        var disk = new SimulatedDisk();
        string state = Save(disk, "text", step: 1);
        var bytes = disk.BytesOf(Path.Combine(state, SavedFolder.SumsFile));
        bytes.Clear();
        bytes.AddRange(Encoding.ASCII.GetBytes(sums));
        Assert.That(() => SavedFolder.Verify(disk, state, Names), Throws.TypeOf<SavedFileException>().With.Message.Contain("is not a line with the SHA-256 sum for each of a, b"));
        bytes.AddRange(new byte[1 << 17]);
        Assert.That(() => SavedFolder.Verify(disk, state, Names), Throws.TypeOf<SavedFileException>().With.Message.Contain("expected at most 65536"));
    }

    [Test]
    public void FileReplacedAtomically_IsTheOldOneOrTheNewOne([Values] Failure failure)
    {
        var random = new Random(6);
        for (long budget = 0; ; budget++)
        {
            var disk = new SimulatedDisk(budget + 10);
            AtomicFile.Write(disk, "/file", stream => stream.Write("old"u8));
            disk.SyncFolder("/");
            bool done = false;
            try
            {
                AtomicFile.Write(disk, "/file", stream => stream.Write("newer"u8));
                done = true;
            }
            catch (ProcessEnded)
            {
            }

            var left = disk.After(failure, random);
            string text = Encoding.ASCII.GetString([.. left.BytesOf("/file")]);
            Assert.That(text, Is.EqualTo("newer").Or.EqualTo(done ? "newer" : "old"));
            if (done)
            {
                break;
            }
        }
    }

    [Test]
    public void FilesOnThisMachinesDisk_AreTheSame()
    {
        using var folder = new Support.TemporaryFolder();
        var saved = new SavedFolder(Disk.Physical, folder.File("new", "run"));
        for (int step = 1; step <= 3; step++)
        {
            string state = saved.Write(step, keep: 2, FilesOf($"text {step}"));
            SavedFolder.Verify(Disk.Physical, state, Names);
            Assert.That(SavedFolder.IsState(Disk.Physical, state));
        }

        Assert.That(Directory.GetDirectories(folder.File("new", "run")).Select(Path.GetFileName), Is.EquivalentTo(new[] { "0002-step-00000002", "0003-step-00000003" }));
        Assert.That(Directory.GetFiles(saved.List()[0]).Select(Path.GetFileName), Is.EquivalentTo(new[] { "a", "b", "SHA256SUMS" }));
    }

    private static readonly string[] Texts = ["one", "two", "three", "four"];
    private readonly List<string> _done = [];

    /// <summary>Saves all texts, as far as the disk goes.</summary>
    private void Run(SimulatedDisk disk)
    {
        _done.Clear();
        foreach (string text in Texts)
        {
            Save(disk, text, step: 1);
            _done.Add(text);
        }
    }

    private long Spent(out SimulatedDisk disk)
    {
        disk = new SimulatedDisk();
        Run(disk);
        return disk.Spent;
    }

    private static string Save(SimulatedDisk disk, string text, long step) => new SavedFolder(disk, Root).Write(step, keep: 2, FilesOf(text));

    private static SavedFile[] FilesOf(string text) =>
        [.. Names.Select(name => new SavedFile(name, stream => stream.Write(Encoding.ASCII.GetBytes(name + text))))];

    private static string Read(SimulatedDisk disk, string state)
    {
        SavedFolder.Verify(disk, state, Names);
        string[] texts = [.. Names.Select(name => Encoding.ASCII.GetString([.. disk.BytesOf(Path.Combine(state, name))]))];
        Assert.That(texts[1][1..], Is.EqualTo(texts[0][1..]), "files of one state");
        return texts[0][1..];
    }
}
