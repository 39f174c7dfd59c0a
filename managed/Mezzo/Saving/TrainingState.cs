// SPDX-License-Identifier: MIT
using System.Globalization;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Mezzo;

/// <summary>
/// The state of a training run on the disk: weights as safetensors, and beside them what else a run needs to go on as if it had
/// never stopped. A <see cref="Trainer"/> does this by itself; a loop of one's own names its parts here.
/// </summary>
/// <remarks>
/// Each save makes a folder <c>NNNN-step-NNNNNNNN</c> in the folder given, and gives it that name once all of its files are on the
/// disk. Nothing is changed by a load before everything has been read and checked. See docs/saving.md.
/// </remarks>
/// <example><code>
/// var state = new TrainingState(model, ("optimizer", adam), ("scaler", scaler), ("random", RandomSource.Default));
/// long step = TrainingState.Exists("run") ? state.Resume("run") : 0;
/// while (step &lt; 1000)
/// {
///     ...
///     if (++step % 100 == 0) { state.Save("run", step); }
/// }
/// </code></example>
public sealed partial class TrainingState
{
    private const string WeightsFile = "weights.safetensors";
    private const string TensorsFile = "training.safetensors";
    private const string ValuesFile = "training.json";
    private static readonly string[] Files = [WeightsFile, TensorsFile, ValuesFile];

    private readonly Func<IReadOnlyDictionary<string, Tensor>> _weights;
    private readonly (string Name, IResumable Part)[] _parts;
    private readonly Disk _disk;
    private readonly ILogger _logger;

    /// <summary>Names the parts of a run.</summary>
    /// <param name="model">What is trained; its <see cref="Module.StateDict"/> becomes the weights.</param>
    /// <param name="parts">The other parts, under names without a dot.</param>
    public TrainingState(Module model, params (string Name, IResumable Part)[] parts)
        : this((model ?? throw new ArgumentNullException(nameof(model))).State, parts)
    {
    }

    internal TrainingState(Func<IReadOnlyDictionary<string, Tensor>> weights, (string Name, IResumable Part)[] parts, ILogger? logger = null, Disk? disk = null)
    {
        if (parts.FirstOrDefault(part => string.IsNullOrEmpty(part.Name) || part.Name.Contains('.', StringComparison.Ordinal)) is { Part: not null } odd)
        {
            throw new ArgumentException($"A part is named '{odd.Name}', expected a name without a dot.", nameof(parts));
        }

        if (parts.CountBy(part => part.Name).FirstOrDefault(count => count.Value > 1).Key is { } twice)
        {
            throw new ArgumentException($"Two parts are named '{twice}'.", nameof(parts));
        }

        (_weights, _parts, _logger, _disk) = (weights, [.. parts], logger ?? NullLogger.Instance, disk ?? Disk.Physical);
    }

    /// <summary>Whether a folder holds a saved state, or is one. Does not check it.</summary>
    public static bool Exists(string path) => Candidates(Disk.Physical, path).Count > 0;

    /// <summary>Refuses weights without names of their own, and parameters that are none of them.</summary>
    internal void Check(IEnumerable<Parameter> parameters)
    {
        var part = new SavedPart("optimizer", Names(_weights()));
        foreach (var parameter in parameters)
        {
            part.NameOf(parameter);
        }
    }

    /// <summary>Saves the state. Waits for the work under way.</summary>
    /// <param name="folder">Folder of saved states; made if it is not there. One run at a time may save in it.</param>
    /// <param name="step">Number of steps done.</param>
    /// <param name="keep">Number of states to keep, this one included; older ones are deleted.</param>
    /// <returns>The path of the saved state.</returns>
    /// <exception cref="IOException">It cannot be written, as where the disk is full; the states that were there are still there.</exception>
    public string Save(string folder, long step, int keep = 2)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        ArgumentOutOfRangeException.ThrowIfLessThan(keep, 1);
        using var scope = TensorScope.Begin(); // of what the parts make to be saved
        var weights = _weights();
        var names = Names(weights);
        var tensors = new OrderedDictionary<string, Tensor>();
        var parts = new List<SavedPart>();
        foreach (var (name, part) in _parts)
        {
            var saved = new SavedPart(name, names);
            part.Save(saved);
            parts.Add(saved);
            foreach (var (key, tensor) in saved.Tensors)
            {
                tensors.Add(saved.TensorPrefix + key, tensor);
            }
        }

        string stepText = step.ToString(CultureInfo.InvariantCulture);
        string state = new SavedFolder(_disk, Path.GetFullPath(folder)).Write(step, keep,
        [
            new SavedFile(WeightsFile, stream => SafeTensors.Write(stream, Module.AsSaved(weights), new Dictionary<string, string> { ["format"] = "pt", ["step"] = stepText })),
            new SavedFile(TensorsFile, stream => SafeTensors.Write(stream, tensors)),
            new SavedFile(ValuesFile, stream => TrainingValues.Write(stream, step, parts)),
        ]);
        LogSaved(_logger, step, state);
        return state;
    }

    /// <summary>
    /// Loads a state. Of a folder of saved states it is the latest; where that is truncated or corrupt, a warning is logged and
    /// the one before is taken.
    /// </summary>
    /// <param name="path">A folder of saved states, or one saved state.</param>
    /// <returns>Number of steps done.</returns>
    /// <exception cref="SavedFileException">There is none, it is corrupt, or it does not fit; nothing has been changed.</exception>
    /// <exception cref="IOException">It cannot be read; nothing has been changed.</exception>
    public long Resume(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string state = FindIntact(path);
        long step = Load(state);
        LogResumed(_logger, step, state);
        return step;
    }

    private static IReadOnlyList<string> Candidates(Disk disk, string path)
    {
        string full = Path.GetFullPath(path);
        return SavedFolder.IsState(disk, full) ? [full] : new SavedFolder(disk, full).List();
    }

    private static OrderedDictionary<Parameter, string> Names(IReadOnlyDictionary<string, Tensor> weights)
    {
        var names = new OrderedDictionary<Parameter, string>();
        foreach (var (name, tensor) in weights)
        {
            if (tensor is Parameter parameter)
            {
                names.TryAdd(parameter, name);
            }
        }

        return names;
    }

    private string FindIntact(string path)
    {
        SavedFileException? first = null;
        foreach (string state in Candidates(_disk, path))
        {
            try
            {
                SavedFolder.Verify(_disk, state, Files);
                return state;
            }
            catch (Exception exception) when (exception is SavedFileException or FileNotFoundException or DirectoryNotFoundException)
            {
                first ??= exception as SavedFileException ?? new SavedFileException(state, exception.Message, exception);
                LogDamaged(_logger, exception.Message);
            }
        }

        throw first ?? new SavedFileException(path, "holds no saved state");
    }

    /// <summary>Reads and checks everything, and then takes it over.</summary>
    private long Load(string state)
    {
        using var scope = TensorScope.Begin(); // of what is read, until it is taken over
        var weights = _weights();
        var names = Names(weights);
        using var weightsFile = Open(WeightsFile);
        using var tensorsFile = Open(TensorsFile);
        string valuesPath = Path.Combine(state, ValuesFile);
        var values = ReadValues(valuesPath);

        var takeOvers = new List<Action>();
        foreach (var (name, part) in _parts)
        {
            var read = new SavedPart(name, valuesPath, values.Parts[name], tensorsFile, names);
            takeOvers.Add(part.Load(read));
            read.ExpectAllRead();
        }

        if (tensorsFile.Tensors.Keys.FirstOrDefault(key => !Array.Exists(_parts, part => key.StartsWith($"{part.Name}.", StringComparison.Ordinal))) is { } odd)
        {
            throw new SavedFileException(Path.Combine(state, TensorsFile), $"holds the tensor '{odd}', which belongs to no part");
        }

        if (StateDictDifferences.Describe(weights, weightsFile.Tensors, info => (info.DType, [.. info.Shape], info.Description)) is { } differences)
        {
            throw new SavedFileException(Path.Combine(state, WeightsFile), $"does not fit the model: {differences}");
        }

        foreach (var (name, tensor) in weights)
        {
            var read = weightsFile.Load(name, Device.Cpu);
            takeOvers.Add(() => tensor.TakeOver(read));
        }

        takeOvers.ForEach(takeOver => takeOver());
        return values.Step;

        SafeTensorsFile Open(string name)
        {
            string path = Path.Combine(state, name);
            return new SafeTensorsFile(_disk.Open(path), path);
        }
    }

    private TrainingValues ReadValues(string path)
    {
        using var stream = _disk.Open(path);
        var values = TrainingValues.Read(stream, path);
        string[] own = [.. _parts.Select(part => part.Name)];
        return values.Parts.Keys.ToHashSet().SetEquals(own)
            ? values
            : throw new SavedFileException(path, $"holds the parts {string.Join(", ", values.Parts.Keys)}, expected {string.Join(", ", own)}");
    }

    [LoggerMessage(EventId = 6, EventName = "Saved", Level = LogLevel.Information, Message = "step {Step}: saved as {State}")]
    private static partial void LogSaved(ILogger logger, long step, string state);

    [LoggerMessage(EventId = 7, EventName = "Resumed", Level = LogLevel.Information, Message = "resumed at step {Step} from {State}")]
    private static partial void LogResumed(ILogger logger, long step, string state);

    [LoggerMessage(EventId = 8, EventName = "SavedStateDamaged", Level = LogLevel.Warning, Message = "a saved state cannot be loaded, the one before it is tried: {Reason}")]
    private static partial void LogDamaged(ILogger logger, string reason);
}
