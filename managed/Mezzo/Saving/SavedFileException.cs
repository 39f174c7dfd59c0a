// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// A saved file cannot be loaded: it is truncated, corrupt or made up, or what it holds does not fit what is to receive it.
/// Nothing has been loaded then.
/// </summary>
public sealed class SavedFileException : Exception
{
    /// <summary>An exception for a file.</summary>
    /// <param name="file">Its path.</param>
    /// <param name="reason">What is wrong, expected and got.</param>
    /// <param name="innerException">What found it out, if anything did.</param>
    public SavedFileException(string file, string reason, Exception? innerException = null)
        : base($"{file}: {reason}", innerException) => (File, Reason) = (file, reason);

    /// <summary>Path of the file, or of the folder of a saved state.</summary>
    public string File { get; }

    /// <summary>What is wrong, expected and got.</summary>
    public string Reason { get; }
}
