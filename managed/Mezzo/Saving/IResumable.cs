// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>A part of a training run whose state is saved, so that a resumed run goes on as if it had never stopped.</summary>
/// <remarks>
/// Optimizers, scalers, <see cref="RandomSource"/> and <see cref="BatchOrder"/> are such parts. One of your own is added by
/// <see cref="TrainerOptions.SavedParts"/>.
/// </remarks>
/// <example><code>
/// sealed class Best : IResumable
/// {
///     public double Loss { get; set; } = double.PositiveInfinity;
///
///     public void Save(SavedPart part) => part.Write("loss", Loss);
///
///     public Action Load(SavedPart part)
///     {
///         double loss = part.ReadDouble("loss");
///         return () => Loss = loss;
///     }
/// }
/// </code></example>
public interface IResumable
{
    /// <summary>Writes the state, and what tells whether a saved one fits.</summary>
    void Save(SavedPart part);

    /// <summary>Reads and checks all of a saved state, and changes nothing.</summary>
    /// <returns>Takes the state over; called once everything else has been checked, too. It should not fail.</returns>
    /// <exception cref="SavedFileException">The state does not fit; <see cref="SavedPart.Refuse"/> makes it.</exception>
    Action Load(SavedPart part);
}
