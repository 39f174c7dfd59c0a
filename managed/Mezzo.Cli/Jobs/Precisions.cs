// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Jobs;

/// <summary>Precisions as the command line and its outputs call them.</summary>
internal static class Precisions
{
    public static string ShortName(this Precision precision) => precision switch
    {
        Precision.Float32 => "fp32",
        Precision.BFloat16 => "bf16",
        Precision.Float16 => "fp16",
        _ => throw new ArgumentOutOfRangeException(nameof(precision), precision, "Not a precision."),
    };
}
