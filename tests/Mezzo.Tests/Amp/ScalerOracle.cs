// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Amp;

/// <summary>
/// A library's dynamic loss scale, with the state and in the steps of its source, in f64: an oracle of
/// <see cref="ScalerPolicy"/>, which describes all of them by one set of rules.
/// </summary>
internal abstract class ScalerOracle(ScalerPolicy policy)
{
    /// <summary>The scale.</summary>
    public double Scale { get; protected set; } = policy.InitScale;

    protected ScalerPolicy Policy { get; } = policy;

    protected int Interval => Policy.GrowthInterval;

    /// <summary>The oracle of a policy.</summary>
    public static ScalerOracle Of(ScalerPolicy policy) => policy.Name switch
    {
        "torch" => new Torch(policy),
        "apex-amp" => new ApexAmp(policy),
        "apex-fp16-optimizer" => new Fp16Optimizer(policy),
        "apex-hysteresis" => new ApexHysteresis(policy),
        "deepspeed" => new DeepSpeed(policy),
        "megatron" => new Megatron(policy),
        _ => throw new ArgumentException(policy.Name),
    };

    /// <summary>One update. False where the source raises.</summary>
    public abstract bool Update(bool overflow);

    /// <summary>torch/csrc: amp_update_scale_.</summary>
    private class Torch(ScalerPolicy policy) : ScalerOracle(policy)
    {
        private int _tracker;

        public override bool Update(bool overflow)
        {
            if (overflow)
            {
                (Scale, _tracker) = ((float)(Scale * Policy.BackoffFactor), 0);
            }
            else if (++_tracker == Interval)
            {
                float grown = (float)(Scale * Policy.GrowthFactor);
                (Scale, _tracker) = (float.IsFinite(grown) ? grown : Scale, 0);
            }

            return true;
        }

        protected void Restart() => _tracker = 0;
    }

    /// <summary>csrc/update_scale_hysteresis.cu.</summary>
    private sealed class ApexHysteresis(ScalerPolicy policy) : Torch(policy)
    {
        private int _hysteresis = policy.Hysteresis;

        public override bool Update(bool overflow)
        {
            if (overflow && --_hysteresis > 0)
            {
                Restart();
                return true;
            }

            base.Update(overflow);
            _hysteresis = overflow ? _hysteresis : Policy.Hysteresis;
            return true;
        }
    }

    /// <summary>apex/amp/scaler.py: LossScaler.update_scale.</summary>
    private sealed class ApexAmp(ScalerPolicy policy) : ScalerOracle(policy)
    {
        private int _unskipped;

        public override bool Update(bool overflow)
        {
            if (overflow)
            {
                Scale = Policy.MinScale != 0 ? Math.Max(Policy.MinScale, Scale / 2) : Scale / 2;
                _unskipped = 0;
            }
            else
            {
                _unskipped++;
            }

            if (_unskipped == Interval)
            {
                (Scale, _unskipped) = (Math.Min(Policy.MaxScale!.Value, Scale * 2), 0);
            }

            return true;
        }
    }

    /// <summary>apex/contrib/optimizers/fp16_optimizer.py: FP16_Optimizer._update_scale.</summary>
    private sealed class Fp16Optimizer(ScalerPolicy policy) : ScalerOracle(policy)
    {
        private int _iteration;
        private int _lastOverflow = -1;

        public override bool Update(bool overflow)
        {
            if (overflow)
            {
                (Scale, _lastOverflow) = (Math.Max(Scale / 2, Policy.MinScale), _iteration);
            }
            else if ((_iteration - _lastOverflow) % Interval == 0)
            {
                Scale *= 2;
            }

            _iteration++;
            return true;
        }
    }

    /// <summary>deepspeed/runtime/fp16/loss_scaler.py: DynamicLossScaler.update_scale.</summary>
    private sealed class DeepSpeed(ScalerPolicy policy) : ScalerOracle(policy)
    {
        private int _iteration;
        private int _lastOverflow = -1;
        private int _hysteresis = policy.Hysteresis;

        public override bool Update(bool overflow)
        {
            if (overflow)
            {
                if (Policy.Hysteresis == 1 || _hysteresis == 1)
                {
                    if (Scale == Policy.MinScale && Policy.ThrowsAtMinScale)
                    {
                        return false;
                    }

                    Scale = Math.Max(Scale / 2, Policy.MinScale);
                }
                else
                {
                    _hysteresis--;
                }

                _lastOverflow = _iteration;
            }
            else
            {
                if (Policy.RefillsOnCleanStep)
                {
                    _hysteresis = Policy.Hysteresis;
                }

                int stable = _iteration - _lastOverflow - 1;
                if (stable > 0 && stable % Interval == 0)
                {
                    _hysteresis = Policy.RefillsOnCleanStep ? _hysteresis : Policy.Hysteresis;
                    Scale *= 2;
                }
            }

            _iteration++;
            return true;
        }
    }

    /// <summary>megatron/core/optimizer/grad_scaler.py: DynamicGradScaler.update.</summary>
    private sealed class Megatron(ScalerPolicy policy) : ScalerOracle(policy)
    {
        private int _growthTracker;
        private int _hysteresisTracker = policy.Hysteresis;

        public override bool Update(bool overflow)
        {
            if (overflow)
            {
                _growthTracker = 0;
                if (--_hysteresisTracker <= 0)
                {
                    Scale = Math.Max(Scale * Policy.BackoffFactor, Policy.MinScale);
                }
            }
            else if (++_growthTracker == Interval)
            {
                (_growthTracker, _hysteresisTracker) = (0, Policy.Hysteresis);
                Scale *= Policy.GrowthFactor;
            }

            return true;
        }
    }
}
