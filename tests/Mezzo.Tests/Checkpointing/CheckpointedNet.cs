// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Checkpointing;

/// <summary>
/// A small network of every kind of op that checkpointing treats in its own way. Its blocks are the letters a to f of a text,
/// which names the regions that they run in (<see cref="NestedRegions"/>).
/// </summary>
internal sealed class CheckpointedNet : Module<Tensor, Tensor>
{
    /// <summary>All blocks, and no region.</summary>
    public const string Plain = "abcdef";
    private const int Width = 8;
    private readonly string _form;
    private readonly Dictionary<char, Func<Tensor, Tensor>> _blocks;

    public CheckpointedNet(string form)
    {
        _form = form;
        var (first, branch, last) = (Part("first", new Linear(3, Width)), Part("branch", new Linear(Width, Width)), Part("last", new Linear(Width, 2)));
        var (layerNorm, batchNorm) = (Part("layer_norm", new LayerNorm([Width])), Part("batch_norm", new BatchNorm1d(Width)));
        var chain = Part("chain", new Sequential(new Linear(Width, Width), new ReLU(), new Linear(Width, Width), new GELU()));
        var dropout = Part("dropout", new Dropout(0.3));
        _blocks = new()
        {
            ['a'] = x => first.ForwardRelu(x),
            ['b'] = x => layerNorm.Forward(x).Gelu(),
            ['c'] = batchNorm.Forward,
            ['d'] = x => x + branch.Forward(x).Softmax().Silu(),
            ['e'] = x => dropout.Forward(chain.Forward(x)),
            ['f'] = x => last.Forward(x.Relu() * 0.5),
        };
    }

    public override Tensor Forward(Tensor input) => NestedRegions.Run(_form, input, (letter, x) => _blocks[letter](x));

    private T Part<T>(string name, T module)
        where T : Module => Register(name, module);
}
