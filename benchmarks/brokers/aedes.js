// aedes with the accounts and rights of a file: node aedes.js PORT FILE, where aedes is installed.
const net = require('net')
const { readFileSync } = require('fs')
const { createRequire } = require('module')
const { Aedes } = createRequire(process.cwd() + '/')('aedes')

const [port, file] = process.argv.slice(2)
const users = JSON.parse(readFileSync(file, 'utf8'))

function covers (filter, topic) {
  const [wanted, levels] = [filter.split('/'), topic.split('/')]
  if (wanted.at(-1) === '#') return levels.length >= wanted.length && wanted.slice(0, -1).every((each, n) => each === levels[n])
  return wanted.length === levels.length && wanted.every((each, n) => each === '+' || each === levels[n])
}

Aedes.createBroker().then(broker => {
  broker.authenticate = (client, name, password, done) => {
    const user = users[name]
    client.user = user
    const bound = user && (user.device ? client.id === name : !users[client.id])
    done(null, Boolean(bound) && String(password) === user.password)
  }
  broker.authorizePublish = (client, packet, done) => {
    const may = !client || client.user.publish.some(filter => covers(filter, packet.topic))
    done(may ? null : new Error('not allowed'))
  }
  broker.authorizeSubscribe = (client, wish, done) => {
    done(null, client.user.subscribe.some(filter => covers(filter, wish.topic)) ? wish : null)
  }
  net.createServer(broker.handle).listen(Number(port), '127.0.0.1')
})
