// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>A call into the native library failed.</summary>
public sealed class MezzoException : Exception
{
    /// <summary>An exception for a failed call.</summary>
    /// <param name="status">What the call answered.</param>
    /// <param name="message">The library's own words: function, argument, what was expected and what was got.</param>
    /// <param name="inner">What it adds to; null for nothing.</param>
    public MezzoException(MezzoStatus status, string message, Exception? inner = null) : base(message, inner) => Status = status;

    /// <summary>What the call answered.</summary>
    public MezzoStatus Status { get; }
}
