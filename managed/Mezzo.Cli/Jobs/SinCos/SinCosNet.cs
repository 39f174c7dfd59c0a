// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>The study's network: a trunk of so many layers, and a head of two for the sine and for the cosine.</summary>
internal sealed class SinCosNet : Module<Tensor, (Tensor Sin, Tensor Cos)>
{
    private readonly Sequential _trunk;
    private readonly Sequential _sinHead;
    private readonly Sequential _cosHead;

    public SinCosNet(int layers, int hidden, Device device, RandomSource random)
    {
        Linear Layer(int inputs, int outputs) => new(inputs, outputs, device: device, random: random);
        _trunk = Register("trunk", new Sequential(
            [.. Enumerable.Range(0, layers).SelectMany(IEnumerable<Module<Tensor, Tensor>> (i) => [Layer(i == 0 ? 1 : hidden, hidden), new ReLU()])]));
        _sinHead = Register("sin_head", new Sequential(Layer(hidden, hidden), new ReLU(), Layer(hidden, 1)));
        _cosHead = Register("cos_head", new Sequential(Layer(hidden, hidden), new ReLU(), Layer(hidden, 1)));
    }

    /// <summary>Both outputs as f64, whatever autocast made of them.</summary>
    public override (Tensor Sin, Tensor Cos) Forward(Tensor input)
    {
        var features = _trunk.Forward(input);
        return (_sinHead.Forward(features).To(DType.Float64), _cosHead.Forward(features).To(DType.Float64));
    }
}
