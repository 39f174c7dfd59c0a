// SPDX-License-Identifier: MIT
namespace Mezzo;

public sealed partial class Trainer
{
    private readonly Func<IReadOnlyDictionary<string, Tensor>> _weights;
    private readonly HashSet<string> _ownFolders = []; // that hold states of this run
    private long _savedAt = -1; // number of steps, in the options' folder

    /// <summary>Number of steps done, those skipped and those of the run that was resumed included: the number of the next step.</summary>
    public long StepsDone => _runner.Next;

    /// <summary>
    /// Saves the state of the run: the weights, the optimizer, the scaler, <see cref="RandomSource.Default"/>, the number of steps
    /// and <see cref="TrainerOptions.SavedParts"/>. Waits for the steps under way.
    /// </summary>
    /// <param name="folder">Folder of saved states; made if it is not there. One run at a time may save in it.</param>
    /// <returns>The path of the saved state, a folder in that one.</returns>
    /// <exception cref="IOException">It cannot be written, as where the disk is full; the states that were there are still there.</exception>
    /// <exception cref="InvalidOperationException">Two parameters have the same name, and the options name no model.</exception>
    public string Save(string folder)
    {
        _runner.ReadPending();
        string full = Path.GetFullPath(folder);
        if (!_ownFolders.Contains(full) && TrainingState.Exists(full))
        {
            throw new InvalidOperationException(
                $"{folder} holds saved states of another run, which this one would delete, expected another folder, or Resume from it before the first save.");
        }

        string state = State().Save(folder, StepsDone, _options.SavesKept);
        _ownFolders.Add(full);
        if (_options.SaveFolder is { } own && Path.GetFullPath(own) == full)
        {
            _savedAt = StepsDone;
        }

        return state;
    }

    /// <summary>
    /// Goes on where a saved run was: the coming steps are bit-identical to those that it would have made. The trainer must
    /// have been made as that one was.
    /// </summary>
    /// <param name="path">
    /// A folder of saved states, of which the latest is taken, or the one before where that is truncated or corrupt; or one saved
    /// state.
    /// </param>
    /// <exception cref="SavedFileException">There is none, it is corrupt, or it does not fit; nothing has been changed.</exception>
    /// <exception cref="IOException">It cannot be read; nothing has been changed.</exception>
    /// <example><code>
    /// if (TrainingState.Exists("run"))
    /// {
    ///     trainer.Resume("run");
    /// }
    ///
    /// trainer.Run(Loss, steps: 1000 - (int)trainer.StepsDone);
    /// </code></example>
    public void Resume(string path)
    {
        _runner.ReadPending();
        long step = State().Resume(path);
        _training.Recover();
        _runner.GoOnAt(step);
        _savedAt = -1;
        string full = Path.GetFullPath(path);
        _ownFolders.Add(full);
        _ownFolders.Add(Path.GetDirectoryName(full) ?? full); // of one saved state

    }

    private static Func<IReadOnlyDictionary<string, Tensor>> WeightsOf(Module? model, Optimizer optimizer)
    {
        if (model is not null)
        {
            return model.State;
        }

        // The names as of now: a module that lists its parameters later would give them others.
        (string Name, Parameter Parameter)[] named = [.. optimizer.Parameters.Select(parameter => (parameter.Name, parameter))];
        return () =>
        {
            var weights = new OrderedDictionary<string, Tensor>();
            foreach (var (name, parameter) in named)
            {
                if (!weights.TryAdd(name, parameter))
                {
                    throw new InvalidOperationException(
                        $"Two parameters of the optimizer are named '{name}', expected names of their own: set TrainerOptions.Model to a module that has all of them.");
                }
            }

            return weights;
        };
    }

    private TrainingState State() => new(
        _weights,
        [
            .. _options.SavedParts,
            ("trainer", new Settings(_options.Precision, _weights)),
            ("optimizer", _training.Optimizer),
            ("scaler", Scaler),
            ("random", RandomSource.Default),
            ("draws", _training.Random),
        ],
        _options.Logger);

    private void SaveIfDue()
    {
        if (_options is { SaveEvery: > 0, SaveFolder: { } folder } && StepsDone % _options.SaveEvery == 0)
        {
            Save(folder);
        }
    }

    /// <summary>What a resumed run must have like the one that was saved.</summary>
    private sealed class Settings(Precision precision, Func<IReadOnlyDictionary<string, Tensor>> weights) : IResumable
    {
        /// <summary>How many parameters are kept in which form: "f32 seen as f16 x 8".</summary>
        private string Forms => string.Join(
            ", ",
            weights().Values.OfType<Parameter>().CountBy(parameter => parameter.Form).OrderBy(count => count.Key, StringComparer.Ordinal).Select(count => $"{count.Key} x {count.Value}"));

        public void Save(SavedPart part)
        {
            part.Write("precision", precision.ToString());
            part.Write("parameters", Forms);
        }

        public Action Load(SavedPart part)
        {
            part.Expect("precision", precision.ToString());
            part.Expect("parameters", Forms);
            return () => { };
        }
    }
}
