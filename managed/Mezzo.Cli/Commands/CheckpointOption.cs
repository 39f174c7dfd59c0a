// SPDX-License-Identifier: MIT
using System.CommandLine;
using System.Globalization;
using Mezzo.Cli.CommandLine;
using Mezzo.Cli.Jobs.Checkpointing;

namespace Mezzo.Cli.Commands;

/// <summary>The option --checkpoint.</summary>
internal static class CheckpointOption
{
    private const string Segments = "segments=";
    private const string Budget = "budget=";

    public static Option<CheckpointChoice> Create() => Options.Value(
        "--checkpoint",
        "Activations to compute once more in the backward pass instead of keeping them: segments=N, those of all but the last of N " +
            "segments of about the same bytes; budget=SIZE, as few as it takes for a step of at most so many bytes, such as 64MB (10^6 " +
            "bytes) or 64MiB (2^20 bytes); auto, none if a step fits the memory that is free, else as few as it takes to fit",
        "none|segments=N|budget=SIZE|auto",
        "none, segments=N with N from 1, budget=SIZE such as budget=64MB or budget=64MiB, or auto",
        TryParse,
        CheckpointChoice.None);

    private static bool TryParse(string text, out CheckpointChoice choice)
    {
        bool isSegments = text.StartsWith(Segments, StringComparison.Ordinal);
        bool isBudget = text.StartsWith(Budget, StringComparison.Ordinal);
        choice = text == "auto" ? CheckpointChoice.Auto
            : isSegments && int.TryParse(text[Segments.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count > 0 ? CheckpointChoice.Segments(count)
            : isBudget && ByteSize.TryParse(text[Budget.Length..], out long bytes) ? CheckpointChoice.Budget(bytes, text[Budget.Length..])
            : CheckpointChoice.None;
        return choice != CheckpointChoice.None || text == "none";
    }
}
