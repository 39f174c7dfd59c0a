// SPDX-License-Identifier: MIT
using Microsoft.Extensions.Logging;

namespace Mezzo.Tests.Support;

/// <summary>Keeps what was logged.</summary>
internal sealed class RecordingLogger : ILogger
{
    public List<(LogLevel Level, EventId Event, string Line)> Entries { get; } = [];

    public IEnumerable<string> Lines => Entries.Select(entry => entry.Line);

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Entries.Add((logLevel, eventId, formatter(state, exception)));

    /// <summary>Number of entries of an event.</summary>
    public int Count(string eventName) => Entries.Count(entry => entry.Event.Name == eventName);
}
