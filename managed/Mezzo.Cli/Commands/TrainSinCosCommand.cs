// SPDX-License-Identifier: MIT
using System.CommandLine;
using System.Globalization;
using System.Text;
using Mezzo.Cli.CommandLine;
using Mezzo.Cli.Jobs;
using Mezzo.Cli.Jobs.Checkpointing;
using Mezzo.Cli.Jobs.SinCos;
using Mezzo.Cli.Terminal;

namespace Mezzo.Cli.Commands;

/// <summary><c>mezzo train sincos</c>: the sin/cos comparison, from data to report.</summary>
internal sealed class TrainSinCosCommand
{
    private const int MaxEpochs = 10_000_000;
    private static readonly SinCosOptions Defaults = new();

    private static readonly Dictionary<string, SinCosPrecision> PrecisionNames = new()
    {
        ["fp32"] = SinCosPrecision.Float32,
        ["bf16"] = SinCosPrecision.BFloat16,
        ["fp16"] = SinCosPrecision.Float16,
        ["compare"] = SinCosPrecision.Compare,
    };

    private static readonly Dictionary<string, CaptureMode> CaptureNames = new()
    {
        ["auto"] = CaptureMode.Auto,
        ["on"] = CaptureMode.On,
        ["off"] = CaptureMode.Off,
    };

    private readonly TerminalOutput _terminal;

    private readonly Option<string?> _precision = Options.OneOfOrNone(
        "--precision",
        "Precision to train in; compare, the default, trains in fp32 and then in the device's fast 16-bit type",
        PrecisionNames.Keys);

    private readonly Option<bool> _fp16 = new("--fp16") { Description = "Short for --precision fp16" };
    private readonly Option<bool> _bf16 = new("--bf16") { Description = "Short for --precision bf16" };

    private readonly Option<string?> _optLevel = Options.OneOfOrNone(
        "--opt-level",
        "How 16-bit runs use their dtype, by apex's names, each with its own loss scale: O1 autocast, as without the option; O2 a 16-bit model with f32 master weights; O3 16 bits throughout; O0 is fp32",
        Enum.GetNames<OptLevel>());

    private readonly Option<int?> _epochs = Options.Whole("--epochs", "Passes over the data", 1, MaxEpochs, Defaults.Epochs);
    private readonly SinCosSizeOptions _size = new();
    private readonly Option<double> _learningRate = Options.Value<double>(
        "--lr", "Learning rate", "X", "a number above 0", TryParsePositive, Defaults.LearningRate);

    private readonly Option<string> _optimizer = Options.OneOf(
        "--optimizer", "Optimizer, as the library of that name has it; sgd has a momentum of 0.9", [.. OptimizerChoice.All.Select(choice => choice.Name)], OptimizerChoice.All[0].Name);

    private readonly Option<double?> _weightDecay = Options.Value<double?>(
        "--weight-decay", "Weight decay [default: the optimizer's own]", "X", "a number of at least 0", TryParseAtLeastZero, null);

    private readonly Option<double?> _maxGradNorm = Options.Value<double?>(
        "--max-grad-norm", "Norm that the gradients are clipped to [default: the optimizer's own]", "X", "a number above 0", TryParsePositiveOrNone, null);

    private readonly Option<string> _schedule = Options.OneOf(
        "--schedule", "Schedule of the learning rate over the epochs", [.. ScheduleChoice.All.Select(choice => choice.Name)], ScheduleChoice.All[0].Name);

    private readonly Option<double?> _warmup = Options.Value<double?>(
        "--warmup", "Part of the epochs during which the learning rate of a --schedule grows [default: 0]", "X", "a number from 0 up to but not 1", TryParseFraction, null);

    private readonly Option<int?> _accumulate = Options.Whole(
        "--accumulate", "Micro-batches that the gradients of an epoch are accumulated over", 1, SinCosSizeOptions.MaxSamples, Defaults.Accumulate);

    private readonly Option<CheckpointChoice> _checkpoint = CheckpointOption.Create();

    private readonly Option<ulong> _seed = Options.Value<ulong>(
        "--seed", "Seed of the data and the initial parameters", "N", $"a whole number from 0 to {ulong.MaxValue}", TryParseSeed, Defaults.Seed);

    private readonly Option<double?> _lossScale = Options.Value<double?>(
        "--loss-scale",
        "Loss scale of 16-bit runs: 0 is dynamic, a power of two is static [default: that of --opt-level, else dynamic in fp16, none in bf16]",
        "SCALE",
        "0 (dynamic) or a power of two from 2^-126 to 2^127 (static)",
        TryParseLossScale,
        null);

    private readonly Option<string?> _scaler = Options.OneOfOrNone(
        "--scaler",
        "Library whose rules the dynamic loss scale of 16-bit runs follows [default: that of --opt-level, else torch in fp16, none in bf16]",
        [.. ScalerPolicy.Dynamic.Select(policy => policy.Name)]);

    private readonly Option<string> _capture = Options.OneOf(
        "--capture", "Capture the training step in a graph and launch it; auto does on cuda", CaptureNames.Keys, "auto");

    private readonly Option<bool> _quiet = new("--quiet") { Description = "Print only the table at the end" };
    private readonly DeviceOptions _device = new();
    private readonly OutputOptions _outputs = new("sincos-report");
    private readonly SavingOptions _saving = new("Epochs", MaxEpochs);

    private TrainSinCosCommand(TerminalOutput terminal) => _terminal = terminal;

    public static Command Create(TerminalOutput terminal, CancellationToken cancellationToken)
    {
        var options = new TrainSinCosCommand(terminal);
        var command = new Command("sincos", "Learns sine and cosine in fp32 and in a 16-bit type, and reports time, loss and memory.")
        {
            options._precision, options._fp16, options._bf16, options._optLevel, options._epochs,
        };
        options._size.AddTo(command);
        Option[] training =
        [
            options._optimizer, options._learningRate, options._weightDecay, options._maxGradNorm, options._schedule, options._warmup,
            options._accumulate, options._checkpoint, options._seed, options._lossScale, options._scaler,
        ];
        Array.ForEach(training, command.Add);
        options._device.AddTo(command);
        command.Add(options._capture);
        options._saving.AddTo(command);
        options._outputs.AddTo(command);
        command.Add(options._quiet);
        command.SetAction(result => options.Run(result, cancellationToken));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        var options = Read(parsed);
        var report = _outputs.PrepareReport(parsed);
        options.Saving.Prepare([.. options.Runs().Select(precision => precision.ShortName())]);
        var json = _outputs.PrepareJson(parsed);
        var environment = JobEnvironment.Capture(CommandText.Of(parsed), options.Device);

        bool isQuiet = parsed.GetValue(_quiet);
        if (!isQuiet && _device.WhyCpu(parsed, options.Device) is { } reason)
        {
            _terminal.Output.WriteLine(reason);
        }

        var log = new SavingLog(_terminal.Error);
        var result = options.Saving.Run(() => TrainingView.Show(
            _terminal, isQuiet, view => new SinCosJob(options, view, log).Run(cancellationToken)));

        json?.Write(stream => SinCosJson.Write(stream, result));
        report.Write(stream => stream.Write(Encoding.UTF8.GetBytes(SinCosReport.Render(result, environment))));
        Print(result, environment, report.Path);
        if (result.Runs.Any(run => options.Saving.FolderOf(run.Name) is { } saved && TrainingState.Exists(saved)))
        {
            _terminal.Output.WriteLine($"saved: {Path.GetFullPath(options.Saving.Folder!)}, to go on from with --resume");
        }

        return result.Interrupted ? ExitCode.Interrupted : ExitCode.Success;
    }

    private SinCosOptions Read(ParseResult parsed)
    {
        var options = _size.Read(parsed) with
        {
            Precision = ReadPrecision(parsed),
            OptLevel = parsed.GetValue(_optLevel) is { } level ? Enum.Parse<OptLevel>(level) : null,
            Epochs = parsed.GetValue(_epochs)!.Value,
            Optimizer = OptimizerChoice.All.Single(choice => choice.Name == parsed.GetValue(_optimizer)),
            LearningRate = parsed.GetValue(_learningRate),
            WeightDecay = parsed.GetValue(_weightDecay),
            MaxGradNorm = parsed.GetValue(_maxGradNorm),
            Schedule = ScheduleChoice.All.Single(choice => choice.Name == parsed.GetValue(_schedule)),
            Warmup = parsed.GetValue(_warmup) ?? 0,
            Accumulate = parsed.GetValue(_accumulate)!.Value,
            Checkpoint = parsed.GetValue(_checkpoint)!,
            Seed = parsed.GetValue(_seed),
            LossScale = parsed.GetValue(_lossScale),
            Scaler = ScalerPolicy.Dynamic.FirstOrDefault(policy => policy.Name == parsed.GetValue(_scaler)),
            Capture = CaptureNames[parsed.GetValue(_capture)!],
            Device = _device.Apply(parsed),
            Saving = _saving.Read(parsed),
        };
        if (parsed.GetValue(_warmup) is not null && options.Schedule == ScheduleChoice.All[0])
        {
            throw new CommandException("--warmup: got no --schedule, expected one whose learning rate it is to warm up");
        }

        if (options.Accumulate > options.Samples)
        {
            throw new CommandException($"--accumulate: got {options.Accumulate}, expected at most the number of --samples, {options.Samples}");
        }

        if (options is { OptLevel: OptLevel.O0, Precision: SinCosPrecision.Compare })
        {
            options = options with { Precision = SinCosPrecision.Float32 };
        }

        if (options.OptLevel is { } given && (given == OptLevel.O0) != (options.Precision == SinCosPrecision.Float32))
        {
            throw new CommandException(
                given == OptLevel.O0 ? "--opt-level: got O0, which is fp32, expected O1, O2 or O3 for 16-bit runs"
                    : $"--opt-level: got {given} with --precision fp32, expected O0, or bf16, fp16 or compare");
        }

        return options switch
        {
            { Precision: SinCosPrecision.Float32, LossScale: not null } => throw HasNoScale("--loss-scale"),
            { Precision: SinCosPrecision.Float32, Scaler: not null } => throw HasNoScale("--scaler"),
            { LossScale: > 0, Scaler: not null } => throw new CommandException("--scaler: got a static --loss-scale too, expected --loss-scale 0 (dynamic) or none"),
            _ => options,
        };

        static CommandException HasNoScale(string option) =>
            new($"{option}: got --precision fp32, which has no loss scale, expected bf16, fp16 or compare");
    }

    private SinCosPrecision ReadPrecision(ParseResult parsed)
    {
        string[] given =
        [
            .. parsed.GetValue(_precision) is { } name ? [name] : Array.Empty<string>(),
            .. parsed.GetValue(_fp16) ? ["fp16"] : Array.Empty<string>(),
            .. parsed.GetValue(_bf16) ? ["bf16"] : Array.Empty<string>(),
        ];
        return given.Distinct().Count() <= 1
            ? PrecisionNames[given.FirstOrDefault() ?? "compare"]
            : throw new CommandException($"--precision: got {string.Join(" and ", given)}, expected one of --precision, --fp16 and --bf16");
    }

    private void Print(SinCosResult result, JobEnvironment environment, string report)
    {
        _terminal.Output.WriteLine();
        foreach (string line in SinCosSummary.Table(result, environment).Lines())
        {
            _terminal.Output.WriteLine(line);
        }

        _terminal.Output.WriteLine();
        foreach (string line in SinCosSkips.Lines(result))
        {
            _terminal.Output.WriteLine(line);
        }

        if (result.Interrupted)
        {
            _terminal.Output.WriteLine("Interrupted: the table and the report hold what was measured until then.");
        }

        _terminal.Output.WriteLine($"report: {report}");
        foreach (string warning in SinCosSummary.Warnings(result))
        {
            _terminal.Error.WriteLine(warning);
        }
    }

    private static bool TryParsePositive(string text, out double value) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value) && double.IsFinite(value) && value > 0;

    private static bool TryParsePositiveOrNone(string text, out double? value)
    {
        bool isPositive = TryParsePositive(text, out double number);
        value = number;
        return isPositive && (float)number > 0 && float.IsFinite((float)number);
    }

    private static bool TryParseAtLeastZero(string text, out double? value)
    {
        bool isNumber = double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number);
        value = number;
        return isNumber && double.IsFinite(number) && number >= 0;
    }

    private static bool TryParseFraction(string text, out double? value) => TryParseAtLeastZero(text, out value) && value < 1;

    private static bool TryParseSeed(string text, out ulong value) =>
        ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);

    private static bool TryParseLossScale(string text, out double? value)
    {
        bool isNumber = double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double scale);
        value = scale;
        return isNumber && (scale == 0 || (double.IsPow2(scale) && float.IsNormal((float)scale)));
    }
}
