// SPDX-License-Identifier: MIT
using System.CommandLine;
using System.Text;
using Mezzo.Cli.CommandLine;
using Mezzo.Cli.Jobs;
using Mezzo.Cli.Jobs.SinCos;
using Mezzo.Cli.Jobs.SinCos.Plan;
using Mezzo.Cli.Terminal;

namespace Mezzo.Cli.Commands;

/// <summary><c>mezzo plan sincos</c>: memory against time of a step of the sin/cos study, by plans of activation checkpointing.</summary>
internal sealed class PlanSinCosCommand
{
    private static readonly Dictionary<string, SinCosPrecision> Precisions = new()
    {
        ["fp32"] = SinCosPrecision.Float32,
        ["bf16"] = SinCosPrecision.BFloat16,
        ["fp16"] = SinCosPrecision.Float16,
    };

    private readonly TerminalOutput _terminal;
    private readonly SinCosSizeOptions _size = new();
    private readonly Option<string> _precision = Options.OneOf("--precision", "Precision of the step", Precisions.Keys, "fp32");
    private readonly Option<(long Bytes, string Text)?> _budget = Options.Value<(long Bytes, string Text)?>(
        "--budget",
        "Bytes that the step may take: the fastest plan within them is chosen [default: none, and the plan of the fewest bytes for at most 25% more time is chosen]",
        "SIZE",
        ByteSize.Expected,
        TryParse,
        null);

    private readonly DeviceOptions _device = new();
    private readonly OutputOptions _outputs = new("sincos-plan");

    private PlanSinCosCommand(TerminalOutput terminal) => _terminal = terminal;

    public static Command Create(TerminalOutput terminal)
    {
        var options = new PlanSinCosCommand(terminal);
        var command = new Command("sincos", "Measures a step of the sin/cos study and draws memory against time of the plans for it.");
        options._size.AddTo(command);
        command.Add(options._precision);
        command.Add(options._budget);
        options._device.AddTo(command);
        options._outputs.AddTo(command);
        command.SetAction(options.Run);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        var options = _size.Read(parsed) with { Precision = Precisions[parsed.GetValue(_precision)!], Device = _device.Apply(parsed) };
        var (report, json) = (_outputs.PrepareReport(parsed), _outputs.PrepareJson(parsed));
        var environment = JobEnvironment.Capture(CommandText.Of(parsed), options.Device);
        if (_device.WhyCpu(parsed, options.Device) is { } reason)
        {
            _terminal.Output.WriteLine(reason);
        }

        var result = new SinCosPlanJob(options, parsed.GetValue(_budget)).Run();
        json?.Write(stream => SinCosPlanJson.Write(stream, result));
        report.Write(stream => stream.Write(Encoding.UTF8.GetBytes(SinCosPlanReport.Render(result, environment))));
        foreach (string line in SinCosPlanTable.Create(result, environment).Lines())
        {
            _terminal.Output.WriteLine(line);
        }

        _terminal.Output.WriteLine($"report: {report.Path}");
        return ExitCode.Success;
    }

    private static bool TryParse(string text, out (long Bytes, string Text)? budget)
    {
        bool isSize = ByteSize.TryParse(text, out long bytes);
        budget = (bytes, text);
        return isSize;
    }
}
