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
    public override Tensor Forward(Tensor input) => Run(_modules, input);

    /// <summary>Runs modules one after the other.</summary>
    internal static Tensor Run(ReadOnlySpan<Module<Tensor, Tensor>> modules, Tensor input)
    {
        var flowing = input;
        for (int i = 0; i < modules.Length; i++)
        {
            var taken = flowing;
            bool isOurs = i > 0 && taken != input && modules[i - 1].KeepsNoTensor && modules[i].KeepsNoTensor;
            if (RunAsOne(modules, i))
            {
                flowing = ((Linear)modules[i]).ForwardRelu(taken);
                i++;
            }
            else
            {
                flowing = modules[i].Forward(taken);
            }

            if (isOurs && taken != flowing)
            {
                taken.IsTransient = true;
                taken.FreeIfUnused();
            }
        }

        return flowing;
    }

    /// <summary>Whether a module and the next one run as one op.</summary>
    internal static bool RunAsOne(ReadOnlySpan<Module<Tensor, Tensor>> modules, int index) =>
        modules[index] is Linear && index + 1 < modules.Length && modules[index + 1] is ReLU;
}
