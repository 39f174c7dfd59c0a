// SPDX-License-Identifier: MIT
namespace Mezzo;

public sealed partial class GradScaler : IResumable
{
    /// <inheritdoc/>
    void IResumable.Save(SavedPart part)
    {
        part.Write("policy", SavedPart.Describe(_given));
        if (StateDict() is { Scale: { } scale } state)
        {
            part.Write("scale", scale);
            part.Write("growth_factor", state.GrowthFactor!.Value);
            part.Write("backoff_factor", state.BackoffFactor!.Value);
            part.Write("growth_interval", state.GrowthInterval!.Value);
            part.Write("growth_tracker", state.GrowthTracker!.Value);
            part.Write("hysteresis_tracker", state.HysteresisTracker ?? 1);
        }
    }

    /// <inheritdoc/>
    Action IResumable.Load(SavedPart part)
    {
        part.Expect("policy", SavedPart.Describe(_given));
        if (!IsEnabled)
        {
            return () => { };
        }

        var state = new GradScalerState
        {
            Scale = part.ReadDouble("scale"),
            GrowthFactor = part.ReadDouble("growth_factor"),
            BackoffFactor = part.ReadDouble("backoff_factor"),
            GrowthInterval = ReadInt32("growth_interval"),
            GrowthTracker = ReadInt32("growth_tracker"),
            Policy = PolicyKey,
        };
        int hysteresis = ReadInt32("hysteresis_tracker");
        try
        {
            return Check(state with { HysteresisTracker = HasHysteresis ? hysteresis : null });
        }
        catch (ArgumentException exception)
        {
            throw part.Refuse("scale", $"cannot be taken over: {exception.Message}");
        }

        int ReadInt32(string key) => part.ReadInt64(key) is >= int.MinValue and <= int.MaxValue and var value
            ? (int)value
            : throw part.Refuse(key, "is not a number of 32 bits");
    }
}
