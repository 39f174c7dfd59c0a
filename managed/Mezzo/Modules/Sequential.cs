// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Mezzo;

/// <summary>
/// Modules one after the other, named "0", "1" and so on. What flows between modules of this library is freed
/// as soon as no gradient needs it, and a <see cref="Linear"/> with a <see cref="ReLU"/> behind it runs as one op.
/// </summary>
public sealed class Sequential : Module<Tensor, Tensor>
{
    private readonly Module<Tensor, Tensor>[] _modules;

    /// <summary>Creates the chain.</summary>
    public Sequential(params Module<Tensor, Tensor>[] modules)
    {
        ArgumentNullException.ThrowIfNull(modules);
        _modules = [.. modules];
        for (int i = 0; i < _modules.Length; i++)
        {
            Register(i.ToString(CultureInfo.InvariantCulture), _modules[i]);
        }
    }

    /// <inheritdoc/>
    internal override bool KeepsNoTensor => Array.TrueForAll(_modules, module => module.KeepsNoTensor);

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input)
    {
        var flowing = input;
        for (int i = 0; i < _modules.Length; i++)
        {
            var taken = flowing;
            bool isOurs = i > 0 && taken != input && _modules[i - 1].KeepsNoTensor && _modules[i].KeepsNoTensor;
            if (_modules[i] is Linear linear && i + 1 < _modules.Length && _modules[i + 1] is ReLU)
            {
                flowing = linear.ForwardRelu(taken);
                i++;
            }
            else
            {
                flowing = _modules[i].Forward(taken);
            }

            if (isOurs && taken != flowing)
            {
                taken.IsTransient = true;
                taken.FreeIfUnused();
            }
        }

        return flowing;
    }
}
