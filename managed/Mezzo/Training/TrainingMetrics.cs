// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Mezzo;

/// <summary>What trainers report to <c>System.Diagnostics.Metrics</c>, under the meter "Mezzo"; names are told in docs/loss-scaling.md.</summary>
internal static class TrainingMetrics
{
    private static readonly Meter Meter = new("Mezzo", typeof(TrainingMetrics).Assembly.GetName().Version?.ToString());

    private static readonly Counter<long> Steps = Meter.CreateCounter<long>("mezzo.training.steps", "{step}", "Training steps, applied and skipped.");

    private static readonly Gauge<double> Loss = Meter.CreateGauge<double>("mezzo.training.loss", description: "Loss of the latest step, unscaled.");

    private static readonly Gauge<double> LossScale =
        Meter.CreateGauge<double>("mezzo.training.loss_scale", description: "Loss scale that the latest step ran at, 1 without a scaler.");

    private static readonly Gauge<double> GradNorm =
        Meter.CreateGauge<double>("mezzo.training.grad_norm", description: "Norm of all unscaled gradients of the latest step, where they are measured.");

    /// <summary>Reports a step; costs next to nothing while nobody listens.</summary>
    public static void Record(StepResult result)
    {
        if (Steps.Enabled)
        {
            var tags = new TagList { { "mezzo.outcome", result.Outcome == StepOutcome.Applied ? "applied" : "skipped" } };
            if (Name(result.Reason) is { } reason)
            {
                tags.Add("mezzo.reason", reason);
            }

            Steps.Add(1, tags);
        }

        Loss.Record(result.Loss);
        LossScale.Record(result.Scale);
        if (result.Gradients?.Norm is { } norm)
        {
            GradNorm.Record(norm);
        }
    }

    private static string? Name(SkipReason reason) => reason switch
    {
        SkipReason.NonFiniteGradients => "non_finite_gradients",
        SkipReason.NoGradients => "no_gradients",
        SkipReason.ScaleAtMinimum => "scale_at_minimum",
        SkipReason.NotANumber => "not_a_number",
        _ => null,
    };
}
