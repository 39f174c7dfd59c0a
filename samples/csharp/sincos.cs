#:project ../../managed/Mezzo
#:property PublishAot=false
// SPDX-License-Identifier: MIT
// Learns sine and cosine in the device's fast 16-bit type: dotnet run -c Release samples/csharp/sincos.cs
using Mezzo;

// On the GPU if there is one.
Device.Default = Device.Cuda().IsAvailable ? Device.Cuda() : Device.Cpu;

const int Samples = 2000;
float[] angles = [.. Enumerable.Range(0, Samples).Select(i => (float)(2 * Math.PI * (2.0 * i / (Samples - 1) - 1)))];
using var x = Tensor.Create<float>(angles, [Samples, 1]);
using var sine = Tensor.Create<double>([.. angles.Select(angle => Math.Sin(angle))], [Samples, 1]);
using var cosine = Tensor.Create<double>([.. angles.Select(angle => Math.Cos(angle))], [Samples, 1]);

var net = new Net(hidden: 64);
var precision = Device.Default.FastHalf == DType.BFloat16 ? Precision.BFloat16 : Precision.Float16;
using var trainer = new Trainer(new Adam(net.Parameters(), lr: 0.01), new TrainerOptions { Precision = precision });
TrainingHistory history = trainer.Run(() =>
{
    var (sin, cos) = net.Forward(x);
    return Losses.Mse(sin, sine) + Losses.Mse(cos, cosine);
}, steps: 300);

Console.WriteLine($"{precision} on {Device.Default}: loss {history.Losses[0]:g3} -> {history.Losses.Min():g3} in {history.Elapsed.TotalSeconds:f1} s");
return history.Losses.Min() < 0.05 ? 0 : 1;

sealed class Net : Module<Tensor, (Tensor Sin, Tensor Cos)>
{
    private readonly Sequential _trunk, _sin, _cos;

    public Net(int hidden)
    {
        _trunk = Register("trunk", new Sequential(
            new Linear(1, hidden), new ReLU(), new Linear(hidden, hidden), new ReLU(), new Linear(hidden, hidden), new ReLU()));
        _sin = Register("sin", new Sequential(new Linear(hidden, hidden), new ReLU(), new Linear(hidden, 1)));
        _cos = Register("cos", new Sequential(new Linear(hidden, hidden), new ReLU(), new Linear(hidden, 1)));
    }

    public override (Tensor Sin, Tensor Cos) Forward(Tensor input)
    {
        var features = _trunk.Forward(input);
        return (_sin.Forward(features).To(DType.Float64), _cos.Forward(features).To(DType.Float64));
    }
}
