// SPDX-License-Identifier: MIT
namespace Mezzo;

public sealed partial class ParameterGroup
{
    /// <summary>Writes what the group has counted, and its settings, which those of a resumed run are compared with.</summary>
    internal void Save(SavedPart part, string name)
    {
        part.Write($"{name}.parameters", NamesOf(part));
        part.Write($"{name}.options", SavedPart.Describe(Options));
        part.Write($"{name}.schedule", SavedPart.Describe(Schedule));
        part.Write($"{name}.schedule_steps", ScheduleSteps.ToString());
        part.Write($"{name}.learning_rate", LearningRate);
        part.Write($"{name}.steps", Read(_step));
        part.Write($"{name}.all_steps", Read(_allSteps));
    }

    /// <summary>Reads and checks the same.</summary>
    /// <returns>Takes it over.</returns>
    internal Action Load(SavedPart part, string name)
    {
        part.Expect($"{name}.parameters", NamesOf(part));
        part.Expect($"{name}.options", SavedPart.Describe(Options));
        part.Expect($"{name}.schedule", SavedPart.Describe(Schedule));
        part.Expect($"{name}.schedule_steps", ScheduleSteps.ToString());
        double learningRate = part.ReadDouble($"{name}.learning_rate");
        if (!double.IsFinite(learningRate) || learningRate < 0)
        {
            throw part.Refuse($"{name}.learning_rate", $"is {learningRate}, expected a finite number of at least 0");
        }

        long steps = part.ReadInt64($"{name}.steps", least: 0);
        long allSteps = part.ReadInt64($"{name}.all_steps", least: 0);
        return () =>
        {
            LearningRate = learningRate;
            _step.Write([steps]);
            _allSteps.Write([allSteps]);
            _rates.Reset();
        };
    }

    private string NamesOf(SavedPart part) => string.Join(", ", Parameters.Select(part.NameOf));
}
