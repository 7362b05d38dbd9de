//! What must hold for any course of events: for the fuzz target, its corpus and tests alike.

use core::time::Duration;

use super::choices::Choices;
use super::draft::Draft;
use super::fault::Fault;
use super::wire::Pace;
use super::{checks, scenes, swarm};
use crate::jetstream::PublisherOptions;

/// Things that happen in one input.
const STEPS_MAX: usize = 200;
/// Messages in one input.
const MESSAGES_MAX: usize = 400;

/// Whatever is submitted and whatever goes wrong, each message has one outcome, and it is true.
///
/// Each byte of `input` is a decision.
pub fn ledger_model(input: &[u8]) {
    let mut choices = Choices::from_bytes(input);
    let choices = &mut choices;
    // In half of the worlds ids are forgotten after a second.
    let kind = choices.below(8);
    let (window, is_forgetful) = ([4096, 8, 2, 1][kind as usize % 4], kind >= 4);
    let options = PublisherOptions { in_flight_max: window, ..PublisherOptions::stream(scenes::STREAM) };
    let (mut world, publisher) = scenes::with_options(options.clone(), 1);
    world.stream().duplicate_window = Duration::from_secs(if is_forgetful { 1 } else { 1 << 20 });
    let publishers = [publisher, world.add_publisher(options)];
    for _ in 0..STEPS_MAX {
        if choices.is_over() {
            break;
        }
        match choices.below(8) {
            0 | 1 => {
                let publisher = choices.one_of(&publishers);
                for _ in 0..=choices.below(16) {
                    let number = world.sent.len() + world.waiting();
                    if number < MESSAGES_MAX {
                        world.enqueue(publisher, Draft::numbered(number, 8));
                    }
                }
            }
            2 | 3 => {
                let verdict = swarm::verdict(choices);
                for _ in 0..=choices.below(8) {
                    world.server.decide_next(verdict);
                }
            }
            4 => {
                // A server that sleeps over bytes for longer than its window can store a copy among them twice: nobody
                // could mend that.
                let fault = match swarm::fault(choices) {
                    Fault::Stop(time) if is_forgetful => Fault::Restart(time),
                    fault => fault,
                };
                world.fault(Duration::ZERO, fault);
            }
            5 => {
                let pace = Pace {
                    latency: choices.time(Duration::from_millis(256)),
                    chunk: choices.one_of(&[4096, 64, 1]),
                    ..Pace::default()
                };
                (world.up, world.down) = (pace, pace);
            }
            6 => world.run(choices.time(Duration::from_millis(1024))),
            _ => world.run(choices.time(Duration::from_secs(16))),
        }
        checks::always(&world);
    }
    swarm::come_to_an_end(&mut world, Duration::from_secs(300));
}
