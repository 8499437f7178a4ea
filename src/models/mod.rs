//! Networks as graphs of operations.

pub mod complexity;
mod layers;
mod ssd300;
pub mod tiny;

pub use layers::DETECTOR;

use crate::config::{ModelConfig, ModelName};
use crate::data::{Normalization, Preprocess};
use crate::detect::priors::PriorSpec;
use crate::ops::gather_heads::GatherHeads;
use crate::plan::{Builder, Format, Shape, TensorId};
use crate::{Error, Result};

/// What a detector is, apart from its weights.
#[derive(Debug, Clone)]
pub struct Detector {
    /// The network's configuration, with its classes.
    pub config: ModelConfig,
    /// How images become its input.
    pub preprocess: Preprocess,
    /// The prior boxes' layout.
    pub prior_spec: PriorSpec,
    /// The prior boxes: centre x, centre y, width, height as fractions of the image, in head order.
    pub priors: Vec<[f32; 4]>,
}

/// The tensors of a detector's network.
#[derive(Debug, Clone)]
pub struct Network {
    /// The images, N x size x size x 3.
    pub images: TensorId,
    /// The maps that the heads read ("high-level feature maps").
    pub sources: Vec<TensorId>,
    /// For each of them the output of the last convolution before it, in front of batch norm, shortcut and ReLU; of the
    /// source behind the L2 norm that of the block before it. Where batch norm stands in front of the convolution and
    /// there is no shortcut (`xnor`), the source itself.
    pub pre_norm: Vec<TensorId>,
    /// Whether the next layer takes the sign of the source as it is.
    pub signed: Vec<bool>,
    /// Locations (N, 1, priors, 8): four log-variances, four means.
    pub locations: TensorId,
    /// Class logits (N, 1, priors, classes + 1), background first.
    pub logits: TensorId,
}

/// A map that the heads read.
#[derive(Debug, Clone, Copy)]
struct Source {
    /// The map.
    map: TensorId,
    /// The output of the last convolution before it.
    conv: TensorId,
    /// Whether the next layer takes its sign.
    signed: bool,
}

impl Detector {
    /// The detector of a configuration.
    ///
    /// # Errors
    /// A `channel_divisor` that the network does not have.
    pub fn new(config: &ModelConfig) -> Result<Detector> {
        config.check_width()?;
        let (size, normalization, prior_spec) = match config.name {
            ModelName::Tiny => (tiny::SIZE, Normalization::SymmetricUnit, tiny::priors()?),
            ModelName::Ssd300Vgg16 => (
                ssd300::SIZE,
                Normalization::MeanSubtract,
                if config.prior_set() == "coco" { PriorSpec::ssd300_coco() } else { PriorSpec::ssd300_voc() },
            ),
        };
        let priors = prior_spec.generate()?;
        Ok(Detector { config: config.clone(), preprocess: Preprocess { size, normalization }, prior_spec, priors })
    }

    /// Classes with the background.
    pub fn logits(&self) -> u32 {
        self.config.classes.len() as u32 + 1
    }

    /// A name for plans and messages: model, method and number of classes.
    pub fn name(&self) -> String {
        let width = match self.config.channel_divisor {
            1 => String::new(),
            d => format!("/{d}"),
        };
        format!("{}{width} {} ({} classes)", self.config.name.as_str(), self.config.method, self.config.classes.len())
    }

    /// Which of the source maps the complexity estimator reads: `wanted`, or for a negative number the end of the base
    /// network.
    ///
    /// # Errors
    /// An index beyond the maps.
    pub fn complexity_source(&self, wanted: i32) -> Result<usize> {
        let own = match self.config.name {
            ModelName::Tiny => 0,
            ModelName::Ssd300Vgg16 => 1,
        };
        let maps = self.prior_spec.boxes_per_cell().len();
        match usize::try_from(wanted) {
            Err(_) => Ok(own),
            Ok(i) if i < maps => Ok(i),
            Ok(i) => Err(Error::config(
                "aic.feature",
                format!("is {i}, but {} has the maps 0 to {}", self.config.name.as_str(), maps - 1),
                "Choose one of them, or -1 for the end of the base network.",
            )),
        }
    }

    /// Builds the network on a builder, from images to locations and logits.
    pub fn network(&self, b: &mut Builder) -> Result<Network> {
        let size = self.preprocess.size;
        let images = b.input("images", Shape::new(b.batch(), size, size, 3), Format::Map, true);
        let sources = match self.config.name {
            ModelName::Tiny => tiny::sources(b, images, &self.config.method)?,
            ModelName::Ssd300Vgg16 => ssd300::sources(b, images, &self.config)?,
        };
        let (mut loc, mut conf) = (Vec::new(), Vec::new());
        for (i, (s, boxes)) in sources.iter().zip(self.prior_spec.boxes_per_cell()).enumerate() {
            let boxes = boxes as u32;
            loc.push(layers::conv(b, &format!("loc.{i}"), s.map, boxes * 8, layers::K3, true)?);
            conf.push(layers::conv(b, &format!("conf.{i}"), s.map, boxes * self.logits(), layers::K3, true)?);
        }
        let locations = b.apply1(GatherHeads { values: 8 }, "loc", &loc)?;
        let logits = b.apply1(GatherHeads { values: self.logits() }, "conf", &conf)?;
        Ok(Network {
            images,
            sources: sources.iter().map(|s| s.map).collect(),
            pre_norm: sources.iter().map(|s| s.conv).collect(),
            signed: sources.iter().map(|s| s.signed).collect(),
            locations,
            logits,
        })
    }
}
