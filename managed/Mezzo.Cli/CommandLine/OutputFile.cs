// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.CommandLine;

/// <summary>A file that a command will write at its end, tried out at its start.</summary>
internal sealed class OutputFile
{
    private readonly string _option;

    private OutputFile(string option, string path) => (_option, Path) = (option, path);

    /// <summary>Full path of the file.</summary>
    public string Path { get; }

    /// <summary>Creates the file's folder and checks that the file can be written, without changing it if it is there.</summary>
    /// <param name="option">The option that names the file, for messages.</param>
    /// <param name="path">Where to write.</param>
    /// <exception cref="CommandException">It cannot be written.</exception>
    public static OutputFile Prepare(string option, string path) => Try(option, path, () =>
    {
        string full = System.IO.Path.GetFullPath(path);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(full) ?? full);
        bool exists = File.Exists(full);
        using (new FileStream(full, FileMode.OpenOrCreate, FileAccess.Write))
        {
        }

        if (!exists)
        {
            File.Delete(full);
        }

        return new OutputFile(option, full);
    });

    /// <summary>Creates a folder and checks that files can be written there.</summary>
    /// <param name="option">The option that names the folder, for messages.</param>
    /// <param name="folder">The folder.</param>
    /// <exception cref="CommandException">They cannot.</exception>
    public static void PrepareFolder(string option, string folder) => Try(option, folder, () =>
    {
        string full = System.IO.Path.GetFullPath(folder);
        Directory.CreateDirectory(full);
        string tried = System.IO.Path.Combine(full, System.IO.Path.GetRandomFileName());
        File.WriteAllBytes(tried, []);
        File.Delete(tried);
        return full;
    });

    /// <summary>Writes the file.</summary>
    /// <exception cref="CommandException">It can no longer be written.</exception>
    public void Write(Action<Stream> write) => Try(_option, Path, () =>
    {
        using var stream = new FileStream(Path, FileMode.Create, FileAccess.Write);
        write(stream);
        return this;
    });

    private static T Try<T>(string option, string path, Func<T> action)
    {
        try
        {
            return action();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new CommandException($"{option}: cannot write {path}: {exception.Message}", ExitCode.Failure);
        }
    }
}
