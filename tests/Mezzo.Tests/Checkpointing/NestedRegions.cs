// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Checkpointing;

/// <summary>
/// Runs blocks in checkpointed regions that a text names: letters are blocks, in order, and parentheses are regions.
/// "ab(c(de))f" has two, one inside the other.
/// </summary>
internal static class NestedRegions
{
    /// <param name="form">The text.</param>
    /// <param name="x">What the first block takes.</param>
    /// <param name="block">Runs the block of a letter.</param>
    /// <returns>What the last block gives.</returns>
    public static Tensor Run(string form, Tensor x, Func<char, Tensor, Tensor> block)
    {
        for (int i = 0; i < form.Length; i++)
        {
            if (form[i] != '(')
            {
                x = block(form[i], x);
                continue;
            }

            int end = End(form, i);
            string inner = form[(i + 1)..end];
            x = Checkpoint.Run(taken => Run(inner, taken, block), x);
            i = end;
        }

        return x;
    }

    /// <summary>Where the parenthesis that opens here is closed.</summary>
    private static int End(string form, int start)
    {
        int depth = 0;
        for (int i = start; ; i++)
        {
            depth += form[i] == '(' ? 1 : form[i] == ')' ? -1 : 0;
            if (depth == 0)
            {
                return i;
            }
        }
    }
}
