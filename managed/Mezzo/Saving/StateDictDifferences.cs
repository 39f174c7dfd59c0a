// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>In what saved tensors differ from those that they are to overwrite.</summary>
internal static class StateDictDifferences
{
    private const int MaxListed = 5; // of each kind

    /// <summary>One sentence; null where everything fits.</summary>
    /// <typeparam name="T">A tensor, or what a header says of one.</typeparam>
    /// <param name="own">The tensors to overwrite.</param>
    /// <param name="given">What is given for them.</param>
    /// <param name="facts">Dtype, null for one that no tensor has, shape and description of what is given.</param>
    /// <param name="strict">Whether names that are missing or too many are differences.</param>
    /// <param name="mayWiden">Whether a dtype fits that the other one holds exactly.</param>
    public static string? Describe<T>(
        IReadOnlyDictionary<string, Tensor> own,
        IReadOnlyDictionary<string, T> given,
        Func<T, (DType? DType, long[] Shape, string Description)> facts,
        bool strict = true,
        bool mayWiden = false)
    {
        var misfits =
            from pair in own
            where given.ContainsKey(pair.Key)
            let fact = facts(given[pair.Key])
            where !fact.Shape.AsSpan().SequenceEqual(pair.Value.Shape) || !Fits(fact.DType, pair.Value.SavedDType, mayWiden)
            select $"{pair.Key} is {fact.Description}, expected {pair.Value.SavedDType.ShortName()}[{string.Join(',', pair.Value.Shape.ToArray())}]";
        string[] differences =
        [
            .. Listed("missing: ", strict ? own.Keys.Where(name => !given.ContainsKey(name)) : []),
            .. Listed("not expected: ", strict ? given.Keys.Where(name => !own.ContainsKey(name)) : []),
            .. Listed("", misfits),
        ];
        return differences.Length == 0 ? null : string.Join("; ", differences);
    }

    private static bool Fits(DType? given, DType own, bool mayWiden) =>
        given == own
        || (mayWiden && (given, own) is (DType.Float16 or DType.BFloat16, DType.Float32 or DType.Float64) or (DType.Float32, DType.Float64));

    private static IEnumerable<string> Listed(string title, IEnumerable<string> lines)
    {
        string[] all = [.. lines];
        string rest = all.Length > MaxListed ? $" and {all.Length - MaxListed} more" : "";
        return all.Length == 0 ? [] : [title + string.Join(", ", all.Take(MaxListed)) + rest];
    }
}
