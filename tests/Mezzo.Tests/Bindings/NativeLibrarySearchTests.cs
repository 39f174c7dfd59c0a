// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Mezzo.Native;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Bindings;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class NativeLibrarySearchTests : IDisposable
{
    // Found by no loader of the system, so that only the folders of a test count.
    private const string FileName = "libmezzo_of_the_tests.so";

    private const string Stub = """
        #include <stdint.h>
        const char *mezzo_version(void) { return "9.8.7"; }
        const char *mezzo_last_error(void) { return "abi_check: abi_version differs, expected 42"; }
        int mezzo_abi_check(uint32_t abi_version) { return abi_version == STUB_ABI ? 0 : 8; }
        """;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Test]
    public void Override_ThatDoesNotExist_IsNamedAndEndsTheSearch()
    {
        CompileStub("good", Constants.AbiVersion);
        string missing = _folder.File("missing.so");

        string message = Failure(Search(missing, _folder.File("good")));

        Assert.That(message, Is.EqualTo(
            $"The native library that MEZZO_LIBRARY names cannot be loaded: {missing}: no such file"));
    }

    [Test]
    public void Override_ThatIsNoFullPath_IsRefused()
    {
        string message = Failure(Search("libc.so.6"));

        Assert.That(message, Does.EndWith("libc.so.6: not a full path"));
    }

    [Test]
    public void Override_ThatIsNoLibrary_IsRefusedWithTheSystemsReason()
    {
        string text = _folder.File("text.so");
        File.WriteAllText(text, "This is no library.");

        string message = Failure(Search(text));

        Assert.That(message, Does.Contain($"{text}: cannot be loaded: ").And.Contain("text.so"));
    }

    [Test]
    public void Library_WithoutMezzosFunctions_IsRefused()
    {
        string other = _folder.File("other.so");
        BindingsEnvironment.Compile("int other(void) { return 1; }", other, "-shared");

        string message = Failure(Search(other));

        Assert.That(message, Does.EndWith($"{other}: not a library of Mezzo: it has no function mezzo_abi_check"));
    }

    [Test]
    public void Library_OfAnotherAbi_IsRefusedWithPathAndBothVersions()
    {
        string other = CompileStub("other", 42);

        string message = Failure(Search(other));

        Assert.That(message, Does.EndWith(
            $"{other}: Mezzo 9.8.7 has another ABI than these bindings, which need ABI version {Constants.AbiVersion}: "
            + "abi_check: abi_version differs, expected 42"));
    }

    [Test]
    public void Search_LoadsTheFirstLibraryOfItsFolders()
    {
        string second = CompileStub("second", Constants.AbiVersion);
        CompileStub("third", Constants.AbiVersion);

        string[] folders = [_folder.File("first"), _folder.File("second"), _folder.File("third")];
        LoadedLibrary library = Search(null, folders).Load();

        Assert.That(library.Path, Is.EqualTo(second));
        NativeLibrary.Free(library.Handle);
    }

    [Test]
    public void Search_StopsAtALibraryThatCannotBeUsed()
    {
        string bad = CompileStub("bad", 42);
        string good = CompileStub("good", Constants.AbiVersion);

        string message = Failure(Search(null, _folder.File("bad"), _folder.File("good")));

        Assert.That(message, Does.Contain(bad).And.Not.Contain(good));
    }

    [Test]
    public void Search_ThatFindsNothing_NamesEveryPathAndWhatToDo()
    {
        string first = _folder.File("first");
        string second = _folder.File("second");

        string message = Failure(Search("", first, second));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(message, Does.Contain($"{Path.Combine(first, FileName)}: no such file"));
            Assert.That(message, Does.Contain($"{Path.Combine(second, FileName)}: no such file"));
            Assert.That(message, Does.Contain($"{FileName}: not found by the system's loader: "));
            Assert.That(message, Does.EndWith(
                $"Set MEZZO_LIBRARY to the full path of {FileName} to use one that lies elsewhere."));
        }
    }

    [Test]
    public void Search_OfThisProcess_LooksBesideTheProgramAndInItsRuntimesFolder()
    {
        NativeLibrarySearch search = NativeLibrarySearch.ForThisProcess();

        string program = Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory);
        Assert.That(search.Folders[0], Is.EqualTo(program));
        Assert.That(search.Folders[1], Does.StartWith(Path.Combine(program, "runtimes")).And.EndWith("native"));
    }

    [Test]
    public void Loader_RemembersTheFileThatItLoaded() =>
        Assert.That(NativeLibraryLoader.LoadedPath, Does.Exist);

    private static NativeLibrarySearch Search(string? path, params string[] folders) => new(path, folders, FileName);

    private static string Failure(NativeLibrarySearch search) =>
        Assert.Throws<DllNotFoundException>(() => search.Load())!.Message;

    private string CompileStub(string folder, int abiVersion)
    {
        string library = Path.Combine(Directory.CreateDirectory(_folder.File(folder)).FullName, FileName);
        BindingsEnvironment.Compile(Stub, library, "-shared", $"-DSTUB_ABI={abiVersion}");
        return library;
    }
}
