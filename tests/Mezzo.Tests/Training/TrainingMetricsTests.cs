// SPDX-License-Identifier: MIT
using System.Diagnostics.Metrics;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Training;

/// <summary>What a listener of the meter "Mezzo" hears of a run.</summary>
internal sealed class TrainingMetricsTests : TensorFixture
{
    [Test]
    public void Listener_HearsOfEachStep([Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode)
    {
        var study = new LineStudy();
        var heard = new List<string>();
        var losses = new List<double>();
        using var listener = new MeterListener();
        int thread = Environment.CurrentManagedThreadId; // trainers of other threads are not this test's
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Meter.Name == "Mezzo")
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            if (Environment.CurrentManagedThreadId == thread)
            {
                heard.Add($"{instrument.Name} {value} {string.Join(' ', tags.ToArray().Select(tag => tag.Value))}");
            }
        });
        listener.SetMeasurementEventCallback<double>((instrument, value, _, _) =>
        {
            if (Environment.CurrentManagedThreadId != thread)
            {
                return;
            }

            if (instrument.Name == "mezzo.training.loss")
            {
                losses.Add(value);
            }
            else
            {
                heard.Add($"{instrument.Name} {value}");
            }
        });
        listener.Start();

        using var trainer = study.Trainer(new TrainerOptions
        {
            Precision = Precision.Float16,
            Scaler = new GradScaler(initScale: 8),
            Capture = mode,
        });
        var history = trainer.Run(study.Loss, 4);
        study.X.Fill(double.NaN);
        double last = trainer.Run(study.Loss, 1).Losses[0];

        Assert.Multiple(() =>
        {
            Assert.That(losses, Is.EqualTo(history.Losses.Append(last)));
            Assert.That(heard, Is.EqualTo(Enumerable.Repeat(new[] { "mezzo.training.steps 1 applied", "mezzo.training.loss_scale 8" }, 4)
                .Append(["mezzo.training.steps 1 skipped not_a_number", "mezzo.training.loss_scale 8"])
                .SelectMany(step => step)));
        });
    }
}
