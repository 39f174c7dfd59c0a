// SPDX-License-Identifier: MIT
using Microsoft.Extensions.Logging;

namespace Mezzo.Cli.Terminal;

/// <summary>Writes what a trainer warns of when it resumes; the rest of what it logs is shown by the <see cref="ITrainingView"/>.</summary>
/// <param name="error">Takes a line for each.</param>
internal sealed class SavingLog(TextWriter error) : ILogger
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (eventId.Name == "SavedStateDamaged")
        {
            error.WriteLine(formatter(state, exception));
        }
    }
}
